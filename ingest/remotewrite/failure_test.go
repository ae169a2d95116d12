package remotewrite_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/prompb"

	"github.com/nilometer/nilometer/ingest/remotewrite"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// failingStore commits nothing.
type failingStore struct {
	*storagetest.Memory
	err error
}

func (s failingStore) Commit(context.Context, storage.Durability, ...storage.Prepared) error {
	return s.err
}

func TestFailuresOfTheStoreAreWorthARetry(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{
		{storage.ErrReadOnly, http.StatusServiceUnavailable},
		{storage.ErrUncertain, http.StatusServiceUnavailable},
		{storage.ErrOverloaded, http.StatusServiceUnavailable},
		{storage.ErrReplaying, http.StatusServiceUnavailable},
		{storage.ErrClosed, http.StatusServiceUnavailable},
		{context.DeadlineExceeded, http.StatusServiceUnavailable},
		{errors.New("a bug"), http.StatusInternalServerError},
	} {
		store := failingStore{storagetest.NewMemory(storagetest.MemoryOptions{}), fmt.Errorf("%w: the disk is full", c.err)}
		body := encode(t, entry([]prompb.Sample{{Timestamp: 1, Value: 1}}, "__name__", "a"))
		status, text := post(t, newHandler(store, remotewrite.Options{}), body)
		if status != c.status || !strings.Contains(text, "the disk is full") {
			t.Errorf("%v: %d %q, want %d and the reason", c.err, status, text, c.status)
		}
	}
}
