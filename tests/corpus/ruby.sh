# Ruby with threads, files and a TCP server; then with forks, pipes, socket files and terminals.
first() {
    for i in 1 2; do ruby -rsocket -rtempfile -rdigest -rjson -e '
server = TCPServer.new("127.0.0.1", 0)
thread = Thread.new { 50.times { client = server.accept; client.puts(client.gets.upcase); client.close } }
50.times { TCPSocket.open("127.0.0.1", server.addr[1]) { |s| s.puts "hello"; raise unless s.gets == "HELLO\n" } }
thread.join
Tempfile.create { |f| f.write("x" * 100_000); f.flush; raise unless File.size(f.path) == 100_000 }
puts Digest::SHA256.hexdigest(Random.bytes(1000)), JSON.dump({ a: Dir.children("/").size })
puts `uname -s`
4.times.map { |n| Thread.new { sleep 0.02; n } }.sum(&:value)
GC.start
'; done
}

second() {
    rm -f /tmp/ruby.sock
    ruby -rsocket -rpty -rfileutils -e '
r, w = IO.pipe
pid = fork { r.close; w.puts "child"; exit!(0) }
w.close; raise unless r.read == "child\n"
Process.wait(pid)
UNIXServer.open("/tmp/ruby.sock") { |s| Thread.new { UNIXSocket.open("/tmp/ruby.sock") { |c| c.write "x" } }; raise unless s.accept.read == "x" }
PTY.spawn("tty") { |out, _, id| puts out.gets; Process.wait(id) }
Process.wait(spawn("true", chdir: "/tmp", pgroup: true))
udp = UDPSocket.new; udp.bind("127.0.0.1", 0); udp.send("x", 0, "127.0.0.1", udp.addr[1]); udp.recvfrom(1)
raise unless IO.select([UDPSocket.new.tap { |u| u.bind("127.0.0.1", 0) }], nil, nil, 0.01).nil?
trap("USR1") { puts "signalled" }; Process.kill("USR1", Process.pid); sleep 0.05
File.open("/tmp/locked", "w") { |f| f.flock(File::LOCK_EX); f.truncate(10); f.fsync; f.chmod(0600) }
FileUtils.ln_s("/tmp/locked", "/tmp/link", force: true); FileUtils.cp("/tmp/locked", "/tmp/copy"); FileUtils.rm(%w[/tmp/link /tmp/copy /tmp/locked])
puts Ractor.new { 6 * 7 }.take
Process.setpriority(Process::PRIO_PROCESS, 0, 1); Process.getrlimit(:NOFILE); Process.daemon(true, true)
'
    says json gem list
}
