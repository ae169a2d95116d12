package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nilometer/nilometer/bench/procstat"
)

// memory is what the process has resident, in bytes: of its own, and of mapped
// files, which the kernel can drop and read again.
type memory struct{ anonymous, files int64 }

func (m memory) max(o memory) memory {
	return memory{max(m.anonymous, o.anonymous), max(m.files, o.files)}
}

// watch measures every so often until the returned function is called, which
// returns the largest values.
func watch() (stop func() memory) {
	end, peak := make(chan struct{}), make(chan memory)
	go func() {
		var most memory
		for tick := time.NewTicker(watchInterval); ; {
			most = most.max(measure())
			select {
			case <-tick.C:
			case <-end:
				tick.Stop()
				peak <- most.max(measure())
				return
			}
		}
	}()
	return func() memory { close(end); return <-peak }
}

const watchInterval = 50 * time.Millisecond

// measure reads /proc; zero where there is none.
func measure() (m memory) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return m
	}
	defer f.Close() //nolint:errcheck // read only
	for s := bufio.NewScanner(f); s.Scan(); {
		name, rest, _ := strings.Cut(s.Text(), ":")
		var kib int64
		if _, err := fmt.Sscanf(rest, "%d", &kib); err != nil {
			continue
		}
		switch name {
		case "RssAnon", "RssShmem":
			m.anonymous += kib << 10
		case "RssFile":
			m.files += kib << 10
		}
	}
	return m
}

// worked is the time that the process has had processors for so far, all its
// goroutines together; zero where there is no /proc.
func worked() time.Duration {
	d, err := procstat.CPU(os.Getpid())
	if err != nil {
		return 0
	}
	return d
}
