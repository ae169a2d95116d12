// Package cli is the command line: it parses flags, calls server or a tool, and
// turns errors into one clear sentence and an exit code.
//
// It owns the interface that users script against: names of commands and flags,
// their defaults, and which flags of Prometheus are understood, ignored or
// refused. It promises exit code 0 for success, 1 for a failure, 2 for a wrong
// use of the command line.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Streams are where a command writes.
type Streams struct {
	Out, Err io.Writer
}

// Build names the program's version.
type Build struct {
	Version, Revision string
}

// Exit codes.
const (
	exitOK = iota
	exitFailed
	exitUsage
)

// usageError is a wrong use of the command line.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// Run executes a command line without the program's name and returns the exit
// code. The server runs until ctx ends.
func Run(ctx context.Context, args []string, streams Streams, build Build) int {
	root := newRoot(streams, build)
	root.SetArgs(args)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	for _, line := range strings.Split(strings.TrimRight(err.Error(), "\n"), "\n") {
		_, _ = fmt.Fprintf(streams.Err, "nilometer: %s\n", line)
	}
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

func newRoot(streams Streams, build Build) *cobra.Command {
	root := newServer(streams, build)
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newCheck(streams), newBackup(streams, build), newQuery(streams), newTSDB(streams), newImport(streams), newExport(streams), newVersion(streams, build))
	return root
}

// flagError names the way out for flags that Prometheus has and we do not.
func flagError(_ *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		name := unknown.GetSpecifiedName()
		if replacement, ok := refused(name); ok {
			return usageError{fmt.Errorf("the flag --%s of Prometheus is not taken: %s", name, replacement)}
		}
		return usageError{fmt.Errorf("unknown flag --%s: nilometer --help lists the flags", name)}
	}
	return usageError{err}
}

// args turns a wrong number of arguments into a usage error.
func args(check cobra.PositionalArgs, usage string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if err := check(cmd, given); err != nil {
			return usageError{fmt.Errorf("%w: use %s", err, usage)}
		}
		return nil
	}
}

func newVersion(streams Streams, build Build) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  args(cobra.NoArgs, "nilometer version"),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(streams.Out, versionLine(build))
			return err
		},
	}
}
