package http1

import (
	"io"
	"net"
	"syscall"
	"unsafe"
)

// socket reads and writes a TCP connection with system calls that the scheduler
// is not told about. It need not be: the socket does not block, so that they
// return at once, and waiting is the poller's as ever. What is told wakes the
// runtime's watcher thread, which then looks around every 20 µs for as long as
// anything runs: where scrapes come one by one that costs a tenth of their CPU.
type socket struct {
	net.Conn
	raw         syscall.RawConn
	read, write func(fd uintptr) bool // made once: they are what is called
	p           []byte
	n           int
	err         error
}

// newSocket returns conn with cheaper calls, where it is a TCP connection.
func newSocket(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn
	}
	s := &socket{Conn: conn, raw: raw}
	s.read = func(fd uintptr) bool { return s.call(syscall.SYS_READ, fd) }
	s.write = func(fd uintptr) bool { return s.call(syscall.SYS_WRITE, fd) }
	return s
}

// call reports false when the socket is not ready.
func (s *socket) call(trap, fd uintptr) bool {
	for {
		n, _, errno := syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(s.p))), uintptr(len(s.p)))
		switch errno {
		case 0:
			s.n, s.err = int(n), nil
			return true
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		}
		s.n, s.err = 0, errno
		return true
	}
}

// Read reads what is there, and waits for something.
func (s *socket) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.p = p
	err := s.raw.Read(s.read)
	s.p = nil
	switch {
	case err != nil:
		return 0, err
	case s.err != nil:
		return 0, &net.OpError{Op: "read", Net: "tcp", Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: s.err}
	case s.n == 0:
		return 0, io.EOF
	}
	return s.n, nil
}

// Write writes all of p.
func (s *socket) Write(p []byte) (n int, err error) {
	for n < len(p) {
		s.p = p[n:]
		err := s.raw.Write(s.write)
		s.p = nil
		switch {
		case err != nil:
			return n, err
		case s.err != nil:
			return n, &net.OpError{Op: "write", Net: "tcp", Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: s.err}
		}
		n += s.n
	}
	return n, nil
}
