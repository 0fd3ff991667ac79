# Python with threads, processes and files; then with sockets, pipes, signals and shared memory.
first() {
    for i in 1 2 3; do python3 -c '
import os, re, subprocess, threading, time, hashlib, tempfile
done = []
threads = [threading.Thread(target=lambda: done.append(hashlib.sha256(os.urandom(1000)).hexdigest())) for _ in range(20)]
[t.start() for t in threads]; [t.join() for t in threads]
assert len(done) == 20
assert subprocess.run(["/bin/echo", "hello"], stdout=subprocess.PIPE, check=True).stdout == b"hello\n"
with tempfile.TemporaryDirectory() as d:
    open(d + "/f", "w").write("x" * 100000)
    assert os.stat(d + "/f").st_size == 100000 and os.listdir(d) == ["f"]
if os.fork() == 0: os._exit(7)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
time.sleep(0.05)
assert re.match("a+", "aaa")
'; done
}

second() {
    python3 -c '
import fcntl, os, select, signal, socket, threading, time
server = socket.create_server(("127.0.0.1", 0))
def serve():
    peer, _ = server.accept()
    with peer: peer.sendall(peer.recv(100).upper())
threading.Thread(target=serve).start()
with socket.create_connection(server.getsockname()) as s:
    s.sendall(b"hello")
    assert s.recv(100) == b"HELLO"
a, b = socket.socketpair()
poll = select.epoll(); poll.register(a, select.EPOLLIN)
b.send(b"x")
assert poll.poll(1)[0][0] == a.fileno() and select.select([a], [], [], 1)[0] == [a]
with open("/tmp/f", "wb+") as f:
    f.truncate(8192); fcntl.flock(f, fcntl.LOCK_EX); os.fsync(f.fileno())
    os.posix_fallocate(f.fileno(), 0, 16384); os.sendfile(b.fileno(), f.fileno(), 0, 100)
    os.chmod("/tmp/f", 0o600)
os.rename("/tmp/f", "/tmp/g"); os.symlink("/tmp/g", "/tmp/h"); os.utime("/tmp/g"); os.unlink("/tmp/h"); os.unlink("/tmp/g")
got = []
signal.signal(signal.SIGALRM, lambda *_: got.append(1)); signal.setitimer(signal.ITIMER_REAL, 0.02); time.sleep(0.05)
assert got
r, w = os.pipe2(os.O_NONBLOCK); os.writev(w, [b"a", b"b"]); assert os.read(r, 2) == b"ab"
memory = os.memfd_create("m"); os.pwrite(memory, b"abc", 10); assert os.pread(memory, 3, 10) == b"abc"
os.sched_setaffinity(0, os.sched_getaffinity(0)); os.nice(1); os.getloadavg(); os.umask(0o77); os.getgroups()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(("127.0.0.1", 0)); udp.sendto(b"x", udp.getsockname()); udp.recvfrom(1)
if os.fork() == 0:
    os.setsid(); os.setuid(65534); os.execv("/bin/true", ["true"])
os.wait()
'
}
