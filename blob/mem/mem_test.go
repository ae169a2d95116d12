package mem_test

import (
	"testing"

	"github.com/nilometer/nilometer/blob"
	"github.com/nilometer/nilometer/blob/blobtest"
	"github.com/nilometer/nilometer/blob/mem"
)

func TestConformance(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Bucket { return mem.New() })
}
