// Command nilometer scrapes, receives, stores, queries, rules, alerts and shows
// metrics. See README.md, or nilometer --help.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/nilometer/nilometer/cli"
)

// version and revision are set by the linker.
var (
	version  = "dev"
	revision = "unknown"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], cli.Streams{Out: os.Stdout, Err: os.Stderr}, cli.Build{Version: version, Revision: revision})
	stop()
	os.Exit(code)
}
