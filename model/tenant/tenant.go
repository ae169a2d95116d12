// Package tenant names the owners of data. Every call into storage, limits,
// rules and alerting carries a tenant; a single-tenant server uses Default for
// all of them.
//
// The package owns the rules for valid names and nothing else: it has no
// registry and no state.
package tenant

import (
	"errors"
	"fmt"
)

// ID is the name of a tenant. It is a path component in the data directory
// and in object stores, so Validate is strict about its bytes.
type ID string

// Default is the tenant of a server that was not told of any other.
const Default ID = "default"

// nameMax bounds a tenant's name, in bytes: object stores and file systems
// allow 255 a component, and names are combined with versions.
const nameMax = 150

// ErrInvalid is wrapped by every error of Validate.
var ErrInvalid = errors.New("invalid tenant")

// Validate reports why id cannot name a tenant, or nil. Allowed are 1 to 150
// bytes of ASCII letters, digits and "-_.!*'()"; "." and ".." are refused,
// because they mean something else in a path.
func (id ID) Validate() error {
	switch {
	case id == "":
		return fmt.Errorf("%w: the name is empty", ErrInvalid)
	case len(id) > nameMax:
		return fmt.Errorf("%w: the name has %d bytes, at most %d are allowed", ErrInvalid, len(id), nameMax)
	case id == "." || id == "..":
		return fmt.Errorf("%w: %q is a path of its own", ErrInvalid, string(id))
	}
	for i := 0; i < len(id); i++ {
		if !allowed(id[i]) {
			return fmt.Errorf("%w: %q has the byte %q at offset %d; letters, digits and -_.!*'() are allowed",
				ErrInvalid, string(id), id[i], i)
		}
	}
	return nil
}

func allowed(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	switch c {
	case '-', '_', '.', '!', '*', '\'', '(', ')':
		return true
	}
	return false
}
