package scan

import (
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/tsdb/part"
)

// warningsMax bounds the warnings of one scan: a damaged disk has thousands of
// bad pages, and the first few name it.
const warningsMax = 20

// warnings gathers what a scan left out, each text once.
type warnings struct {
	mu      sync.Mutex // guards what follows
	found   annotations.Annotations
	omitted bool
}

// addDamage takes err over when it is damage that a query goes on without, and
// reports whether it was.
func (w *warnings) addDamage(err error) bool {
	var damage *part.DamageError
	if !errors.As(err, &damage) {
		return false
	}
	w.add(fmt.Errorf("samples are missing: %w", err))
	return true
}

// addAll is addDamage of an error that may be several joined: it returns the first
// that a query does not go on without.
func (w *warnings) addAll(err error) error {
	if err == nil {
		return nil
	}
	several, ok := err.(interface{ Unwrap() []error })
	if !ok {
		if w.addDamage(err) {
			return nil
		}
		return err
	}
	for _, err := range several.Unwrap() {
		if err := w.addAll(err); err != nil {
			return err
		}
	}
	return nil
}

func (w *warnings) add(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.found) < warningsMax {
		w.found.Add(err)
		return
	}
	if !w.omitted {
		w.omitted = true
		w.found.Add(errors.New("samples are missing: there are more damaged places than are named here"))
	}
}

// all returns a copy of what was found.
func (w *warnings) all() annotations.Annotations {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out annotations.Annotations
	return out.Merge(w.found)
}
