package server

import (
	"fmt"
	"io"
	"os"
)

// queryLogMode lets the operator's group read what users ask for.
const queryLogMode = 0o640

// openQueryLog opens the query log to append to it; nil without a name.
func openQueryLog(name string) (io.WriteCloser, error) {
	if name == "" {
		return nil, nil //nolint:nilnil // no log is not an error
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, queryLogMode)
	if err != nil {
		return nil, fmt.Errorf("open global.query_log_file: %w", err)
	}
	return f, nil
}

// logQueriesTo makes w the query log. The one before is closed, also when it
// is the same file: so a reload ends the use of a file that was moved away.
func (s *server) logQueriesTo(w io.WriteCloser) {
	if err := s.queryLog.To(w); err != nil {
		s.logger.Warn("query log not closed", "err", err)
	}
}
