package series_test

import (
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
)

// TestStable holds the values of hash and key: they are stored in files.
func TestStable(t *testing.T) {
	lset := labels.FromStrings("__name__", "up", "instance", "10.0.0.7:9100", "job", "node")
	if h, _ := series.HashOf(lset, nil); h != 0x776f6f7b71a270bf {
		t.Errorf("the hash of %s is %#x: it must never change", lset, uint64(h))
	}
	if k, _ := series.KeyOf(lset, nil); k != 0xd9ae89698db1fbd3 {
		t.Errorf("the key of %s is %#x: it must never change", lset, uint64(k))
	}
}

func TestHashIsOfTheLabelsAlone(t *testing.T) {
	a, scratch := series.HashOf(labels.FromStrings("a", "1", "b", "2"), nil)
	b, _ := series.HashOf(labels.FromStrings("b", "2", "a", "1"), scratch)
	if a != b {
		t.Error("the order in which labels are given changes the hash")
	}
	// Neither lengths nor boundaries can be shifted.
	c, _ := series.HashOf(labels.FromStrings("a", "1b", "c", "2"), nil)
	d, _ := series.HashOf(labels.FromStrings("a", "1", "bc", "2"), nil)
	if c == d {
		t.Error("two label sets that read the same in a row have one hash")
	}
}

func TestKey(t *testing.T) {
	key := func(nameValues ...string) series.Key {
		k, _ := series.KeyOf(labels.FromStrings(nameValues...), nil)
		return k
	}
	target := key("__name__", "a", "instance", "i", "job", "j")
	same := [][]string{
		{"__name__", "b", "instance", "i", "job", "j"},
		{"__name__", "a", "instance", "i", "job", "j", "cpu", "3", "le", "+Inf"},
	}
	for _, lset := range same {
		if key(lset...) != target {
			t.Errorf("%v is not with its target", lset)
		}
	}
	other := [][]string{
		{"__name__", "a", "instance", "k", "job", "j"},
		{"__name__", "a", "instance", "i", "job", "k"},
		{"__name__", "a", "job", "j"},
	}
	for _, lset := range other {
		if key(lset...) == target {
			t.Errorf("%v is with another target", lset)
		}
	}
	// Without an instance: the series of one histogram stay together.
	if key("__name__", "h_bucket", "le", "1", "path", "/") != key("__name__", "h_count", "path", "/") {
		t.Error("the buckets and the count of a histogram have different keys")
	}
	if key("__name__", "h_count", "path", "/") == key("__name__", "h_count", "path", "/x") {
		t.Error("two label sets without an instance have one key")
	}
}
