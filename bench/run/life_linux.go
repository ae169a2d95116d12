package main

import (
	"os/exec"
	"syscall"
)

// bindLife gives the process a group of its own, so that Ctrl-C reaches the
// runner alone, which then stops it; and has the kernel kill it should the
// runner die without a chance to.
func bindLife(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
