# The Java compiler and a small server; then mapped files, child processes, datagrams, and another collector.
begin() {
    rm -rf /tmp/java
    mkdir /tmp/java
    cd /tmp/java
}

first() {
    cat >Web.java <<'EOF'
import com.sun.net.httpserver.HttpServer;
import java.net.*;
import java.nio.file.*;
import java.util.concurrent.*;

public class Web {
    public static void main(String[] args) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        ExecutorService pool = Executors.newFixedThreadPool(4);
        server.setExecutor(pool);
        server.createContext("/", exchange -> {
            exchange.sendResponseHeaders(200, 5);
            try (var body = exchange.getResponseBody()) { body.write("hello".getBytes()); }
        });
        server.start();
        for (int i = 0; i < 50; i++) {
            var url = new URL("http://127.0.0.1:" + server.getAddress().getPort() + "/");
            try (var in = url.openStream()) { if (in.readAllBytes().length != 5) System.exit(1); }
        }
        Path file = Files.createTempFile("web", "");
        Files.writeString(file, "x".repeat(100000));
        if (Files.readString(file).length() != 100000) System.exit(1);
        Files.delete(file);
        byte[][] garbage = new byte[64][];
        for (int i = 0; i < 2000; i++) garbage[i % 64] = new byte[100000];
        System.gc();
        Thread.sleep(50);
        server.stop(0);
        pool.shutdown();
        System.out.println("served");
    }
}
EOF
    javac Web.java
    for i in 1 2; do java -Xmx128m Web; done
}

second() {
    cat >More.java <<'EOF'
import java.io.*;
import java.net.*;
import java.nio.*;
import java.nio.channels.*;
import java.nio.file.*;
import java.util.concurrent.locks.*;

public class More {
    public static void main(String[] args) throws Exception {
        var process = new ProcessBuilder("cat", "/etc/hostname").start();
        process.getInputStream().transferTo(System.out);
        if (process.waitFor() != 0) System.exit(1);
        Path path = Path.of("mapped");
        try (var channel = FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            channel.lock();
            var mapped = channel.map(FileChannel.MapMode.READ_WRITE, 0, 8192);
            mapped.put("hello".getBytes());
            mapped.force();
            channel.truncate(4096);
            channel.transferTo(0, 100, FileChannel.open(Path.of("copy"), StandardOpenOption.CREATE, StandardOpenOption.WRITE));
        }
        Files.deleteIfExists(Path.of("link"));
        Files.createSymbolicLink(Path.of("link"), path);
        Files.move(path, Path.of("moved"), StandardCopyOption.REPLACE_EXISTING);
        Files.setLastModifiedTime(Path.of("moved"), java.nio.file.attribute.FileTime.fromMillis(0));
        var watch = FileSystems.getDefault().newWatchService();
        Path.of(".").register(watch, StandardWatchEventKinds.ENTRY_CREATE);
        Files.deleteIfExists(Path.of("new"));
        Files.writeString(Path.of("new"), "x");
        watch.take();
        try (var datagram = new DatagramSocket(0, InetAddress.getLoopbackAddress())) {
            datagram.send(new DatagramPacket(new byte[1], 1, datagram.getLocalSocketAddress()));
            datagram.receive(new DatagramPacket(new byte[1], 1));
        }
        var selector = Selector.open();
        Files.deleteIfExists(Path.of("socket"));
        var server = ServerSocketChannel.open(StandardProtocolFamily.UNIX).bind(UnixDomainSocketAddress.of("socket"));
        server.configureBlocking(false).register(selector, SelectionKey.OP_ACCEPT);
    }
}
EOF
    javac More.java
    java -XX:+UseZGC -Xmx256m More
    java -version
    jar -cf more.jar More.class
    java -Xshare:off -XX:+UseSerialGC -cp more.jar More
}
