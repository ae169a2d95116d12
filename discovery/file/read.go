package file

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/prometheus/discovery/targetgroup"
	"go.yaml.in/yaml/v3"
)

// Read returns the groups of targets in a file of at most sizeMax bytes, as a
// Mechanism would find them. Keys that are not known and empty groups are
// errors.
func Read(path string, sizeMax int64) ([]*targetgroup.Group, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, sizeMax+1))
	if err == nil && int64(len(content)) > sizeMax {
		err = fmt.Errorf("it has more than the %d bytes that are read", sizeMax)
	}
	if err != nil {
		return nil, err
	}
	groups, err := parse(content, strings.ToLower(filepath.Ext(path)))
	if err != nil {
		return nil, err
	}
	for i, g := range groups {
		if g == nil {
			return nil, fmt.Errorf("group %d is empty", i)
		}
	}
	return groups, nil
}

func parse(content []byte, extension string) (groups []*targetgroup.Group, err error) {
	switch extension {
	case ".json":
		err = json.Unmarshal(content, &groups)
	case ".yml", ".yaml":
		dec := yaml.NewDecoder(strings.NewReader(string(content)))
		dec.KnownFields(true)
		if err = dec.Decode(&groups); errors.Is(err, io.EOF) {
			err = nil // an empty file
		}
	default:
		err = errors.New("its name ends in none of .json, .yml and .yaml")
	}
	return groups, err
}
