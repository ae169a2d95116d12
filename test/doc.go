// Package test proves the built program from outside: processes are started,
// asked over HTTP and by promtool, killed and started again. It imports
// nothing of the program.
//
// The tests need the build tag e2e and two environment variables, NILOMETER_BIN
// and PROMTOOL_BIN, which name the binaries; `make e2e` sets them. Each test has
// directories and ports of its own and ends every process that it starts.
package test
