package scrape

import (
	"maps"
	"unicode/utf8"
	"unique"

	"github.com/nilometer/nilometer/format/exposition"
	"github.com/nilometer/nilometer/storage"
)

// familiesMax bounds the metric families of one target whose metadata is kept.
const familiesMax = 20_000

// Names of families longer than any series has are left out, and longer texts
// cut: what is kept of one target is bounded.
const (
	familySizeMax = 1 << 10 // bytes
	textSizeMax   = 4 << 10
)

// families is the metadata of one target by family. The values are shared by
// all targets that say the same. It is replaced, never changed.
type families map[string]unique.Handle[storage.Metadata]

// learn merges what a body said newly about its metric families into what was
// known, and returns the families that changed. Lines that were remembered say
// nothing new.
func (f families) learn(lines []exposition.Metadata) (next families, changed []storage.Metadata) {
	if len(lines) == 0 {
		return f, nil
	}
	next = maps.Clone(f)
	if next == nil {
		next = families{}
	}
	touched := map[string]storage.Metadata{}
	for _, m := range lines {
		if len(m.Family) > familySizeMax {
			continue
		}
		have, ok := touched[m.Family]
		if old, known := next[m.Family]; !ok && known {
			have = old.Value()
		} else if !ok && len(next)+len(touched) >= familiesMax {
			continue
		}
		have.Family = m.Family
		switch m.Field {
		case exposition.FieldType:
			have.Type = m.Type
		case exposition.FieldHelp:
			have.Help = cut(m.Text)
		case exposition.FieldUnit:
			have.Unit = cut(m.Text)
		}
		touched[m.Family] = have
	}
	for family, m := range touched {
		h := unique.Make(m)
		if next[family] != h {
			changed = append(changed, m)
			delete(next, family) // so that the key is the shared string
			next[h.Value().Family] = h
		}
	}
	return next, changed
}

// cut shortens a text to textSizeMax, at a character's end.
func cut(text string) string {
	if len(text) <= textSizeMax {
		return text
	}
	end := textSizeMax
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
