package server

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// listen opens the address; when it is taken, the error says by whom and which
// flag to change.
func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		by := ""
		if owner := portOwner(address); owner != "" {
			by = " by " + owner
		}
		return nil, fmt.Errorf("the address %s is in use%s: choose another with --web.listen-address=127.0.0.1:9191", address, by)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("no permission to listen on %s: choose a port above 1023 with --web.listen-address", address)
	}
	return nil, fmt.Errorf("listen on --web.listen-address=%s: %w", address, err)
}
