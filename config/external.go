package config

import (
	"fmt"
	"maps"
	"os"
	"slices"
)

// expandExternalLabels replaces $NAME and ${NAME} in the values of external
// labels by environment variables, and $$ by $, as Prometheus 3 does. A label
// whose value becomes empty is none. A variable that is not set or empty is
// remembered for a notice.
func (c *Config) expandExternalLabels(env func(string) string) {
	for _, name := range slices.Sorted(maps.Keys(c.Global.ExternalLabels)) {
		text := c.Global.ExternalLabels[name]
		value := os.Expand(text, func(variable string) string {
			if variable == "$" {
				return "$"
			}
			v := env(variable)
			if v == "" {
				c.unset = append(c.unset, unsetVariable{label: name, variable: variable})
			}
			return v
		})
		if c.Global.ExternalLabels[name] = value; value == "" && text != "" {
			delete(c.Global.ExternalLabels, name)
		}
	}
}

// unsetVariable is an environment variable that an external label asks for in
// vain.
type unsetVariable struct{ label, variable string }

func (u unsetVariable) notice() (path, text string) {
	return "global.external_labels." + u.label, fmt.Sprintf("the environment variable %q is empty or not set: nothing stands in its place", u.variable)
}
