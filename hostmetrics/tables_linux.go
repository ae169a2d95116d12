package hostmetrics

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// The kernel's tables of names and numbers are read as they are: a newer
// kernel's names appear without a change here, as node_exporter has it.

// tableSizeMax bounds what is read of one file, bytes.
const tableSizeMax = 1 << 20

func (l *linux) read(name string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(l.proc, name))
	if err == nil && len(b) > tableSizeMax {
		err = fmt.Errorf("%s has %d bytes, at most %d are read", name, len(b), tableSizeMax)
	}
	return b, err
}

// meminfo has lines like "Active(anon):  1024 kB" and "HugePages_Free: 0".
func (l *linux) meminfo(w *writer) error {
	b, err := l.read("meminfo")
	if err != nil {
		return err
	}
	names := strings.NewReplacer("(", "_", ")", "")
	for line := range bytes.Lines(b) {
		fields := bytes.Fields(line)
		if len(fields) < 2 {
			continue
		}
		v, err := strconv.ParseUint(string(fields[1]), 10, 64)
		if err != nil {
			return fmt.Errorf("meminfo line %q: %w", line, err)
		}
		name := "node_memory_" + names.Replace(strings.TrimSuffix(string(fields[0]), ":"))
		if len(fields) > 2 {
			v, name = v*1024, name+"_bytes"
		}
		w.family(name, gauge, "Memory information field.")
		w.uint(v)
	}
	return nil
}

// filefd has "allocated free maximum".
func (l *linux) filefd(w *writer) error {
	b, err := l.read("sys/fs/file-nr")
	if err != nil {
		return err
	}
	fields := strings.Fields(string(b))
	if len(fields) != 3 {
		return fmt.Errorf("file-nr has %d fields, not 3", len(fields))
	}
	for i, name := range []string{"allocated", "", "maximum"} {
		if name == "" {
			continue
		}
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return fmt.Errorf("file-nr: %w", err)
		}
		w.family("node_filefd_"+name, gauge, "File descriptors: "+name+".")
		w.float(v)
	}
	return nil
}

// The fields that node_exporter reports by default.
var (
	vmstatFields = regexp.MustCompile(`^(oom_kill|pgpg|pswp|pg.*fault).*`)
	netFields    = regexp.MustCompile(`^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|` +
		`TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)|` +
		`Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|` +
		`Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$`)
)

// vmstat has lines of a name and a number.
func (l *linux) vmstat(w *writer) error {
	b, err := l.read("vmstat")
	if err != nil {
		return err
	}
	for line := range bytes.Lines(b) {
		name, v, ok := bytes.Cut(bytes.TrimSpace(line), []byte{' '})
		if !ok || !vmstatFields.Match(name) {
			continue
		}
		n, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			return fmt.Errorf("vmstat field %s: %w", name, err)
		}
		w.family("node_vmstat_"+string(name), untyped, "/proc/vmstat information field.")
		w.float(n)
	}
	return nil
}

// netstat reads two tables with a line of names above each line of numbers, and
// one with a name and a number a line. Without IPv6 the last is not there.
func (l *linux) netstat(w *writer) error {
	for _, file := range []string{"net/netstat", "net/snmp"} {
		b, err := l.read(file)
		if err != nil {
			return err
		}
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		for i := 0; i+1 < len(lines); i += 2 {
			names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
			if len(names) != len(values) || len(names) == 0 || names[0] != values[0] {
				return fmt.Errorf("%s: %d names and %d numbers in line %d", file, len(names), len(values), i+1)
			}
			protocol := strings.TrimSuffix(names[0], ":")
			for j := 1; j < len(names); j++ {
				if err := netValue(w, protocol+"_"+names[j], values[j]); err != nil {
					return err
				}
			}
		}
	}
	b, err := l.read("net/snmp6")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for line := range bytes.Lines(b) {
		fields := strings.Fields(string(line))
		if len(fields) < 2 {
			continue
		}
		if six := strings.IndexByte(fields[0], '6'); six >= 0 {
			if err := netValue(w, fields[0][:six+1]+"_"+fields[0][six+1:], fields[1]); err != nil {
				return err
			}
		}
	}
	return nil
}

func netValue(w *writer, name, text string) error {
	if !netFields.MatchString(name) {
		return nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return fmt.Errorf("network statistic %s: %w", name, err)
	}
	w.family("node_netstat_"+name, untyped, "Statistic "+name+".")
	w.float(v)
	return nil
}

// sockstat has lines like "TCP: inuse 5 orphan 0". Memory is counted in pages.
func (l *linux) sockstat(w *writer) error {
	page := float64(os.Getpagesize())
	for _, file := range []string{"net/sockstat", "net/sockstat6"} {
		b, err := l.read(file)
		if errors.Is(err, os.ErrNotExist) && file == "net/sockstat6" {
			return nil
		}
		if err != nil {
			return err
		}
		for line := range bytes.Lines(b) {
			fields := strings.Fields(string(line))
			for i := 1; i+1 < len(fields); i += 2 {
				v, err := strconv.ParseFloat(fields[i+1], 64)
				if err != nil {
					return fmt.Errorf("%s line %q: %w", file, line, err)
				}
				name := "node_sockstat_" + strings.TrimSuffix(fields[0], ":") + "_" + fields[i]
				w.family(name, gauge, "Number of sockets, or pages, in this state.")
				w.float(v)
				if fields[i] == "mem" {
					w.family(name+"_bytes", gauge, "Memory of sockets.")
					w.float(v * page)
				}
			}
		}
	}
	return nil
}
