package tenant_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nilometer/nilometer/model/tenant"
)

func TestValidate(t *testing.T) {
	for _, id := range []tenant.ID{tenant.Default, "a", "team-1_x.y!*'()", tenant.ID(strings.Repeat("a", 150))} {
		if err := id.Validate(); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []tenant.ID{"", ".", "..", "a/b", "a b", "ä", "a\x00", "a|b", tenant.ID(strings.Repeat("a", 151))} {
		if err := id.Validate(); !errors.Is(err, tenant.ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", id, err)
		}
	}
}
