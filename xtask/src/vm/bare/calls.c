/*
 * Known numbers of calls, for processors that the tests' own program of this kind is not written for: 1,000 and 3,000
 * without and with a filter, 500 that fail, and 7 that the filter refuses. With an argument it stays for a while.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **arguments)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mkdirat, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(code) / sizeof(code[0]), code };
	int at;

	(void)arguments;
	for (at = 0; at < 1000; at++)
		syscall(__NR_getsid, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		return 2;
	for (at = 0; at < 3000; at++)
		syscall(__NR_getsid, 0);
	for (at = 0; at < 500; at++)
		if (syscall(__NR_getpgid, 999999) != -1)
			return 3;
	for (at = 0; at < 7; at++)
		if (syscall(__NR_mkdirat, -100, "/refused", 0755) != -1)
			return 4;
	if (count > 1)
		sleep(600);
	return 0;
}
