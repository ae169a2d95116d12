// Package builtin brings in the mechanisms of service discovery that every build
// has: who imports it can read their sections (discovery.Read). A full build,
// with the tag all_sd, has all that Prometheus has: those weigh more than the
// rest of the binary.
package builtin

import (
	_ "github.com/nilometer/nilometer/discovery/consul"
	_ "github.com/nilometer/nilometer/discovery/digitalocean"
	_ "github.com/nilometer/nilometer/discovery/dns"
	_ "github.com/nilometer/nilometer/discovery/hetzner"
	_ "github.com/nilometer/nilometer/discovery/http"
	_ "github.com/nilometer/nilometer/discovery/linode"
	_ "github.com/nilometer/nilometer/discovery/moby"
	_ "github.com/nilometer/nilometer/discovery/nomad"
	_ "github.com/nilometer/nilometer/discovery/openstack"
	_ "github.com/nilometer/nilometer/discovery/scaleway"
)
