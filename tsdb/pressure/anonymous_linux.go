package pressure

import (
	"bytes"
	"os"
	"strconv"
)

// anonymous is the resident memory of the process that belongs to no file:
// resident less shared pages of /proc/self/statm, which costs the kernel
// nothing to add up, as smaps would.
func anonymous() int64 {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(data)
	if len(fields) < 3 {
		return 0
	}
	resident, err1 := strconv.ParseInt(string(fields[1]), 10, 64)
	shared, err2 := strconv.ParseInt(string(fields[2]), 10, 64)
	if err1 != nil || err2 != nil {
		return 0
	}
	return (resident - shared) * int64(os.Getpagesize())
}
