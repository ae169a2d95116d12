package discovery_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/nilometer/nilometer/discovery"
)

// dnsInside tells the test that it runs in namespaces of its own.
const dnsInside = "NILOMETER_TEST_DNS_INSIDE"

// TestDNS asks a DNS server over the network. Which server is asked stands in
// /etc/resolv.conf, and it has port 53: the test runs itself again with a network
// and mounts of its own.
func TestDNS(t *testing.T) {
	if os.Getenv(dnsInside) == "" {
		again := exec.Command(os.Args[0], "-test.run=^TestDNS$", "-test.v")
		again.Env = append(os.Environ(), dnsInside+"=1")
		again.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
		if out, err := again.CombinedOutput(); err != nil {
			t.Fatalf("in namespaces of its own (the kernel must allow user namespaces): %v\n%s", err, out)
		}
		return
	}
	ownNetwork(t)
	zone := serveDNS(t)
	srv := func(target string, port uint16) dns.RR {
		return &dns.SRV{Hdr: header("_web._tcp.shop.test.", dns.TypeSRV), Target: target, Port: port}
	}
	zone.Store(&[]dns.RR{
		srv("a.shop.test.", 9100), srv("b.shop.test.", 9101),
		&dns.A{Hdr: header("web.shop.test.", dns.TypeA), A: net.IPv4(10, 0, 0, 1)},
		&dns.AAAA{Hdr: header("web.shop.test.", dns.TypeAAAA), AAAA: net.ParseIP("fd00::1")},
	})

	for _, c := range []struct{ name, entry, want string }{
		{"SRV", "names: [_web._tcp.shop.test]", "a.shop.test:9100 b.shop.test:9101"},
		{"A", "names: [web.shop.test]\ntype: A\nport: 9100", "10.0.0.1:9100"},
		{"AAAA", "names: [web.shop.test]\ntype: AAAA\nport: 9100", "[fd00::1]:9100"},
		{"search path", "names: [web]\ntype: A\nport: 9100", "10.0.0.1:9100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := start(t)
			apply(t, m, "dns_sd_configs", c.entry+"\nrefresh_interval: 50ms")
			eventually(t, c.want, func() bool { return addresses(m) == c.want })
		})
	}

	t.Run("churn", func(t *testing.T) {
		m := start(t)
		apply(t, m, "dns_sd_configs", "names: [_web._tcp.shop.test]\nrefresh_interval: 50ms")
		eventually(t, "two targets", func() bool { return addresses(m) == "a.shop.test:9100 b.shop.test:9101" })
		zone.Store(nil) // the server fails
		eventually(t, "a problem", func() bool { return len(m.Problems()) == 1 })
		if got := addresses(m); got != "a.shop.test:9100 b.shop.test:9101" {
			t.Errorf("while the server fails: %q", got)
		}
		// More than a datagram holds: asked again over TCP.
		var many []dns.RR
		for range 300 {
			many = append(many, srv("a-name-that-is-rather-long-for-a-host.shop.test.", uint16(len(many)+1)))
		}
		zone.Store(&many)
		eventually(t, "300 targets, no problem", func() bool { return count(m) == 300 && len(m.Problems()) == 0 })
		zone.Store(&[]dns.RR{srv("b.shop.test.", 9101)})
		eventually(t, "one target", func() bool { return addresses(m) == "b.shop.test:9101" })
		zone.Store(&[]dns.RR{}) // the name is gone
		eventually(t, "none", func() bool { return addresses(m) == "" })
	})
}

// ownNetwork switches the loopback interface on, and resolv.conf to it.
func ownNetwork(t *testing.T) {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 127.0.0.1\nsearch shop.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal("mounts of its own: ", err)
	}
	if err := unix.Mount(conf, "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		t.Fatal("another /etc/resolv.conf: ", err)
	}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket) //nolint:errcheck // of no further use
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatal("loopback: ", err)
	}
}

// serveDNS answers with the records of the zone; without a zone it fails.
func serveDNS(t *testing.T) *atomic.Pointer[[]dns.RR] {
	t.Helper()
	zone := &atomic.Pointer[[]dns.RR]{}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		answer := new(dns.Msg).SetReply(r)
		defer func() { _ = w.WriteMsg(answer) }()
		records := zone.Load()
		if records == nil {
			answer.Rcode = dns.RcodeServerFailure
			return
		}
		answer.Rcode = dns.RcodeNameError
		for _, rr := range *records {
			if rr.Header().Name != r.Question[0].Name {
				continue
			}
			answer.Rcode = dns.RcodeSuccess
			if rr.Header().Rrtype == r.Question[0].Qtype {
				answer.Answer = append(answer.Answer, rr)
			}
		}
		if w.LocalAddr().Network() == "udp" {
			answer.Truncate(dns.DefaultMsgSize)
		}
	})
	for _, network := range []string{"udp", "tcp"} {
		ready, done := make(chan struct{}), make(chan error, 1)
		srv := &dns.Server{Addr: "127.0.0.1:53", Net: network, Handler: handler, NotifyStartedFunc: func() { close(ready) }}
		go func() { done <- srv.ListenAndServe() }()
		select {
		case <-ready:
		case err := <-done:
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := srv.Shutdown(); err != nil {
				t.Error(err)
			}
			<-done
		})
	}
	return zone
}

func header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: 1}
}

func count(m *discovery.Manager) int {
	n := 0
	for _, g := range m.Groups()["a"] {
		n += len(g.Targets)
	}
	return n
}
