package wal

// Exclusive appends what payload returns while nobody is between Enter and
// Exit: it stands behind all that was made before it, and before all that is
// made after it. Nothing is appended when that is empty, and then the Position
// is 0. Appends wait for payload: it must be short.
func (l *Log) Exclusive(payload func() []byte) (Position, error) {
	l.rotation.Lock()
	defer l.rotation.Unlock()
	if err := l.Err(); err != nil {
		return 0, err
	}
	if p := payload(); len(p) > 0 {
		return l.Append(p, 0)
	}
	return 0, nil
}
