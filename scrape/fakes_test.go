package scrape_test

import (
	"context"
	"sync"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/relabel"

	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/storage"
)

type (
	seriesKey     = series.Key
	relabelConfig = relabel.Config
)

// dropName drops samples by metric name.
func dropName(name string) *relabel.Config {
	return &relabel.Config{
		SourceLabels: model.LabelNames{"__name__"}, Regex: relabel.MustNewRegexp(name), Separator: ";",
		Action: relabel.Drop, NameValidationScheme: model.UTF8Validation,
	}
}

// faulty is a writer whose commits can fail.
type faulty struct {
	storage.Writer
	mu  sync.Mutex // guards err
	err error
}

func (f *faulty) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *faulty) Commit(ctx context.Context, d storage.Durability, batches ...storage.Prepared) error {
	f.mu.Lock()
	err := f.err
	f.mu.Unlock()
	if err != nil {
		return err
	}
	return f.Writer.Commit(ctx, d, batches...)
}
