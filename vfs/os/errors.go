package osfs

import (
	"errors"
	"io/fs"

	"github.com/nilometer/nilometer/vfs"
)

var errIsDir = errors.New("is a directory")

// fullError is an error of the machine that means vfs.ErrFull and already says so.
type fullError struct{ err error }

func (e fullError) Error() string        { return e.err.Error() }
func (e fullError) Unwrap() error        { return e.err }
func (e fullError) Is(target error) bool { return target == vfs.ErrFull }

// belowFileError is an error of the machine for a name below a file: it is
// missing, as any other name that is not there.
type belowFileError struct{ err error }

func (e belowFileError) Error() string        { return e.err.Error() }
func (e belowFileError) Unwrap() error        { return e.err }
func (e belowFileError) Is(target error) bool { return target == fs.ErrNotExist }

// mapError marks a full device or quota, and names below files. The machine's
// errors name the operation and the path themselves.
func mapError(err error) error {
	switch {
	case err == nil:
		return nil
	case isFull(err):
		return fullError{err}
	case errors.Is(err, errNotDir):
		return belowFileError{err}
	}
	return err
}
