package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
	"gopkg.in/yaml.v3"
)

// configFile gives the flags of a command their values from the YAML file that
// its flag --config names. A key is the flag's name without the dashes in
// front. What a flag or the environment sets, the file does not.
type configFile struct {
	loaded bool
	values map[string]string
}

var _ kong.Resolver = (*configFile)(nil)

// Validate is part of kong.Resolver. The file is checked when it is loaded.
func (f *configFile) Validate(*kong.Application) error { return nil }

// Resolve returns the flag's value in the file, nil if it has none.
func (f *configFile) Resolve(c *kong.Context, path *kong.Path, flag *kong.Flag) (any, error) {
	if !f.loaded {
		if err := f.load(c, path); err != nil {
			return nil, err
		}
	}
	value, ok := f.values[flag.Name]
	if !ok {
		return nil, nil
	}
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return nil, nil
		}
	}
	return value, nil
}

// load reads the file, if the command has the flag and it is set.
func (f *configFile) load(c *kong.Context, path *kong.Path) error {
	known := map[string]bool{}
	name := ""
	for _, flag := range path.Flags {
		known[flag.Name] = true
		if flag.Name == "config" {
			name = configName(c, flag)
		}
	}
	if !known["config"] {
		return nil
	}
	f.loaded = true
	if name == "" {
		return nil
	}
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	f.values, err = readConfig(file, known)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// configName is the value of the flag --config as the command line or the
// environment has it.
func configName(c *kong.Context, flag *kong.Flag) string {
	for _, p := range c.Path {
		if p.Flag == flag {
			return fmt.Sprint(c.FlagValue(flag))
		}
	}
	if flag.Target.Kind() == reflect.String {
		return flag.Target.String()
	}
	return ""
}

// readConfig reads one flat YAML mapping. Keys that are not known, or occur
// twice, are errors that name them.
func readConfig(r io.Reader, known map[string]bool) (map[string]string, error) {
	var document yaml.Node
	if err := yaml.NewDecoder(r).Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	root := document.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: want a mapping of flag names to values", root.Line)
	}
	values := map[string]string{}
	for i := 0; i < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		name := strings.ReplaceAll(key.Value, "_", "-")
		switch _, twice := values[name]; {
		case !known[name] || name == "config" || name == "help":
			return nil, fmt.Errorf("line %d: unknown key %q", key.Line, key.Value)
		case twice:
			return nil, fmt.Errorf("line %d: key %q is there twice", key.Line, key.Value)
		case value.Kind != yaml.ScalarNode:
			return nil, fmt.Errorf("line %d: key %q: want a single value", value.Line, key.Value)
		}
		values[name] = value.Value
	}
	return values, nil
}
