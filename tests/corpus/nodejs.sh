# Node.js serving and reading; then with workers, child processes, watched files and datagrams.
first() {
    node -e '
const http = require("http"), fs = require("fs"), crypto = require("crypto"), os = require("os");
const server = http.createServer((request, response) => response.end("hello " + request.url));
server.listen(0, "127.0.0.1", async () => {
    const get = path => new Promise((done, fail) => http.get({ port: server.address().port, host: "127.0.0.1", path }, response => {
        let text = ""; response.on("data", part => text += part); response.on("end", () => done(text));
    }).on("error", fail));
    for (let i = 0; i < 100; i++) if (await get("/" + i) !== "hello /" + i) process.exit(1);
    fs.mkdirSync("/tmp/node", { recursive: true });
    await fs.promises.writeFile("/tmp/node/f", crypto.randomBytes(100000));
    await new Promise((done, fail) => crypto.pbkdf2("a", "b", 1000, 64, "sha512", error => error ? fail(error) : done()));
    if ((await fs.promises.readFile("/tmp/node/f")).length !== 100000) process.exit(1);
    console.log(fs.readdirSync("/tmp/node"), os.cpus().length, process.memoryUsage().rss > 0);
    fs.rmSync("/tmp/node", { recursive: true });
    setTimeout(() => server.close(), 100);
});
'
}

second() {
    node -e '
const { Worker } = require("worker_threads"), { execFile, fork, spawnSync } = require("child_process");
const fs = require("fs"), dgram = require("dgram"), dns = require("dns"), net = require("net"), zlib = require("zlib");
(async () => {
    const worker = new Worker("require(\"worker_threads\").parentPort.postMessage(6 * 7)", { eval: true });
    await new Promise(done => worker.on("message", value => { console.log(value); done(); }));
    console.log(await new Promise((done, fail) => execFile("uname", ["-s"], (error, out) => error ? fail(error) : done(out))));
    console.log(spawnSync("cat", { input: "piped" }).stdout.toString());
    const watcher = new Promise(done => { fs.writeFileSync("/tmp/w", "a"); const w = fs.watch("/tmp/w", () => { w.close(); done(); }); });
    fs.appendFileSync("/tmp/w", "b"); await watcher;
    const socket = dgram.createSocket("udp4");
    await new Promise(done => socket.bind(0, "127.0.0.1", () => { socket.on("message", done); socket.send("x", socket.address().port, "127.0.0.1"); }));
    socket.close();
    const local = net.createServer(peer => peer.end("bye")).listen("/tmp/node.sock");
    await new Promise(done => net.connect("/tmp/node.sock").on("data", () => {}).on("close", done)); local.close();
    fs.createReadStream("/usr/bin/perl").pipe(zlib.createGzip()).pipe(fs.createWriteStream("/tmp/perl.gz"));
    fs.symlinkSync("/tmp/w", "/tmp/s"); fs.renameSync("/tmp/w", "/tmp/v"); fs.chmodSync("/tmp/v", 0o600); fs.utimesSync("/tmp/v", 1, 1);
    fs.unlinkSync("/tmp/s"); fs.unlinkSync("/tmp/v"); fs.copyFileSync("/usr/bin/perl", "/tmp/copy");
    await dns.promises.lookup("localhost");
    process.on("SIGUSR2", () => console.log("signalled")); process.kill(process.pid, "SIGUSR2");
    await new Promise(done => setTimeout(done, 100));
})();
'
}
