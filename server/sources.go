package server

import (
	"sync"

	"github.com/nilometer/nilometer/config"
)

// sources remembers what the configuration was read from.
type sources struct {
	file string // "": none

	mu   sync.Mutex // guards the fields below
	last *config.Config
	read string // fingerprint of what was read last
}

// look returns the fingerprints of the files as they are now, and as they were
// when they were read last.
func (s *sources) look() (now, read string) {
	s.mu.Lock()
	c, read := s.last, s.read
	s.mu.Unlock()
	if s.file == "" {
		return read, read
	}
	return c.Fingerprint(s.file), read
}

// note says that the files have been read, which looked as before says when that
// began; c is nil when they could not be: then they are not read again until they
// change. What has changed meanwhile is read again.
func (s *sources) note(c *config.Config, before string) {
	now, _ := s.look()
	s.mu.Lock()
	defer s.mu.Unlock()
	if c != nil {
		s.last = c
	}
	if s.read = ""; s.file != "" && now == before {
		s.read = s.last.Fingerprint(s.file)
	}
}
