//go:build all_sd

package builtin

import _ "github.com/prometheus/prometheus/discovery/install" // kubernetes, aws, azure, gce and all others
