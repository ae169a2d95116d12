package scrape_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/nilometer/nilometer/scrape"
)

// TestTurns: those who are known go first, each in the order in which they came;
// who gives up takes no turn with them.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := scrape.NewTurns()
		all := 2 * runtime.GOMAXPROCS(0)
		for range all {
			if err := turns.Take(t.Context(), true); err != nil {
				t.Fatal(err)
			}
		}
		var mu sync.Mutex // guards order
		var order []string
		wait := func(name string, ctx context.Context, isNew bool) {
			go func() {
				err := turns.Take(ctx, isNew)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					order = append(order, name)
				case errors.Is(err, context.Canceled):
					order = append(order, name+" gave up")
				default:
					order = append(order, err.Error())
				}
			}()
			synctest.Wait()
		}
		ctx, cancel := context.WithCancel(t.Context())
		wait("new 1", t.Context(), true)
		wait("new 2", ctx, true)
		wait("new 3", t.Context(), true)
		wait("known 1", t.Context(), false)
		wait("known 2", ctx, false)
		wait("known 3", t.Context(), false)
		cancel()
		synctest.Wait()
		slices.Sort(order) // both give up at once
		for range 4 + all {
			turns.Give()
			synctest.Wait()
		}
		want := []string{"known 2 gave up", "new 2 gave up", "known 1", "known 3", "new 1", "new 3"}
		if !slices.Equal(order, want) {
			t.Errorf("%q, want %q", order, want)
		}
		for range all { // every turn is there again
			if err := turns.Take(ctx, false); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestTurnsCrowded: there is an end to how many newcomers wait, and none to those
// who are known.
func TestTurnsCrowded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := scrape.NewTurns()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		errs := make(chan error, 2000)
		for i := range 1000 {
			go func() { errs <- turns.Take(ctx, i%2 == 0) }()
			synctest.Wait()
		}
		known, newcomers := turns.Waiting()
		got := fmt.Sprint(known+newcomers+len(errs), newcomers)
		if want := "1000 256"; got != want {
			t.Errorf("all and newcomers that wait: %s, want %s", got, want)
		}
		refused := 0
		for len(errs) > 0 {
			if err := <-errs; err != nil {
				refused++
			}
		}
		if refused == 0 || known < 490 {
			t.Errorf("%d newcomers were refused, %d who are known wait", refused, known)
		}
	})
}
