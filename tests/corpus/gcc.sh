# The C compiler and make; then libraries, parallel builds and whole-program optimisation.
begin() {
    rm -rf /tmp/c
    mkdir /tmp/c
    cd /tmp/c
    for i in 1 2 3 4 5 6; do
        printf '#include <stdio.h>\n#include <string.h>\nint f%s(int n) { char b[64]; memset(b, n, 64); return printf("%%d %%d\\n", %s, b[1]); }\n' $i $i >f$i.c
    done
    { for i in 1 2 3 4 5 6; do echo "int f$i(int);"; done
      echo 'int main(void) { return f1(1) + f2(2) + f3(3) + f4(4) + f5(5) + f6(6) < 6; }'; } >main.c
    printf 'program: main.o f1.o f2.o f3.o f4.o f5.o f6.o\n\t$(CC) -o $@ $^\n%%.o: %%.c\n\t$(CC) -O2 -Wall -c -o $@ $<\nclean:\n\trm -f *.o program\n' >Makefile
}

first() {
    for i in 1 2; do make clean; make; ./program; done
    echo 'int main(void) { return undefined(); }' >wrong.c
    fails gcc -Werror wrong.c
}

second() {
    make clean
    make -j3
    ./program
    gcc -g -pipe -O0 -fPIC -shared -o libf.so f1.c f2.c f3.c
    gcc -o linked main.c -L. -lf f4.c f5.c f6.c
    LD_LIBRARY_PATH=. ./linked
    ar rcs libf.a f1.o f2.o f3.o
    ranlib libf.a
    gcc -static -o static main.c f4.c f5.c f6.c libf.a
    ./static
    gcc -O2 -flto -o whole main.c f[1-6].c
    ./whole
    says 'int main' gcc -E main.c
    says 'f1:' gcc -S -o - f1.c
    strip whole
    says Disassembly objdump -d whole
    says ' T main' nm static
    says libf.so readelf -a linked
    touch f1.c
    make
}

end() {
    cd /
    rm -rf /tmp/c
}
