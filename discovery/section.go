package discovery

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	commonconfig "github.com/prometheus/common/config"
	upstream "github.com/prometheus/prometheus/discovery"
)

// sectionSuffix ends the names of sections that say how targets are found.
const sectionSuffix = "_sd_configs"

// kinds are the mechanisms of Prometheus, by the names of their sections.
// static_configs and file_sd_configs are not among them: they are this package's.
var kinds = []string{
	"aws", "azure", "consul", "digitalocean", "dns", "docker", "dockerswarm", "ec2", "ecs", "elasticache", "eureka", "gce", "hetzner", "http", "ionos",
	"kubernetes", "kuma", "lightsail", "linode", "marathon", "msk", "nerve", "nomad", "oci", "openstack", "outscale", "ovhcloud", "puppetdb", "rds",
	"scaleway", "serverset", "stackit", "triton", "uyuni", "vultr", "xds",
}

// Sections returns the names of all sections that Prometheus has for mechanisms
// other than static and file.
func Sections() []string {
	out := make([]string, len(kinds))
	for i, k := range kinds {
		out[i] = k + sectionSuffix
	}
	return out
}

// Config is one entry of such a section.
type Config struct {
	// Section is the section's name, as "consul_sd_configs".
	Section string
	inner   upstream.Config
}

// Type is the struct that the entry was read into, for who wants to know its
// keys.
func (c Config) Type() reflect.Type { return reflect.TypeOf(c.inner).Elem() }

// SetDirectory makes the paths of files in it relative to a directory.
func (c Config) SetDirectory(dir string) {
	if s, ok := c.inner.(commonconfig.DirectorySetter); ok {
		s.SetDirectory(dir)
	}
}

// Read reads one entry of a section: decode fills what it is given from a mapping
// of the section's name to a list of this entry alone. A mechanism that this
// build has not got is refused by name.
func Read(section string, decode func(any) error) (Config, error) {
	kind := strings.TrimSuffix(section, sectionSuffix)
	if !slices.Contains(kinds, kind) {
		return Config{}, fmt.Errorf("%s is no section of service discovery", section)
	}
	var all upstream.Configs
	if err := all.UnmarshalYAML(decode); err != nil {
		return Config{}, err
	}
	if len(all) != 1 { // who has not got a section ignores it
		return Config{}, fmt.Errorf("this binary is built without the discovery of %s: use the full one (make build)", kind)
	}
	return Config{Section: section, inner: all[0]}, nil
}
