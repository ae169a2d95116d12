// Package procstat reads what a process has cost, from Linux' /proc, and what
// a directory holds: the figures that the benchmarks compare.
//
// The parsers are pure and take the files' bytes; the functions that take a
// process id read the files.
package procstat

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// clockTick is USER_HZ, 100 on every Linux architecture that Go supports.
const clockTick = 10 * time.Millisecond

// ParseStat returns user and system time, children excluded, of
// /proc/PID/stat. It resolves 10 ms.
func ParseStat(stat []byte) (user, system time.Duration, err error) {
	// The second field is a file name in parentheses and may hold anything.
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, 0, fmt.Errorf("parse stat %q: no command in parentheses", stat)
	}
	fields := bytes.Fields(stat[end+1:])
	const utime, stime = 11, 12 // proc_pid_stat(5) fields 14 and 15, counted from state (3)
	if len(fields) <= stime {
		return 0, 0, fmt.Errorf("parse stat: %d fields after the command, want over %d", len(fields), stime)
	}
	u, err := strconv.ParseInt(string(fields[utime]), 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("parse stat: utime: %w", err)
	}
	s, err := strconv.ParseInt(string(fields[stime]), 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("parse stat: stime: %w", err)
	}
	return time.Duration(u) * clockTick, time.Duration(s) * clockTick, nil
}

// Memory is what of a process stands in memory, in bytes.
type Memory struct {
	// Resident is all of it: anonymous memory and pages of mapped files.
	Resident int64
	// Anonymous is what no file backs: heap, stacks, private maps. The kernel
	// cannot drop it.
	Anonymous int64
}

// ParseRollup reads /proc/PID/smaps_rollup.
func ParseRollup(rollup []byte) (Memory, error) {
	var m Memory
	var found int
	for line := range bytes.Lines(rollup) {
		fields := bytes.Fields(line)
		if len(fields) != 3 || string(fields[2]) != "kB" {
			continue
		}
		var into *int64
		switch string(fields[0]) {
		case "Rss:":
			into = &m.Resident
		case "Anonymous:":
			into = &m.Anonymous
		default:
			continue
		}
		kib, err := strconv.ParseInt(string(fields[1]), 10, 64)
		if err != nil {
			return Memory{}, fmt.Errorf("parse smaps_rollup: %s %w", fields[0], err)
		}
		*into = kib << 10
		found++
	}
	if found != 2 {
		return Memory{}, fmt.Errorf("parse smaps_rollup: %d of the lines Rss and Anonymous, want 2", found)
	}
	return m, nil
}

// CPU is the processor time, user and system, of a process so far.
func CPU(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	user, system, err := ParseStat(stat)
	return user + system, err
}

// ReadMemory is the memory of a process now.
func ReadMemory(pid int) (Memory, error) {
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return Memory{}, fmt.Errorf("read memory: %w", err)
	}
	return ParseRollup(rollup)
}

// DirBytes is the sum of the sizes of the regular files below dirs; a directory
// that does not exist counts as empty, and so do files that vanish meanwhile.
// A file counts with its size, or with what the file system has allocated where
// that is less: small files do not count as whole blocks, holes not at all.
func DirBytes(dirs ...string) (int64, error) {
	var total int64
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			info, err := d.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			total += min(info.Size(), allocated(info))
			return nil
		})
		if err != nil {
			return 0, fmt.Errorf("measure %s: %w", dir, err)
		}
	}
	return total, nil
}
