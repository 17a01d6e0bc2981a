package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// settings are options and their values, by their names as flags.
type settings map[string][]string

func (s settings) one(name string) string {
	if values := s[name]; len(values) > 0 {
		return values[len(values)-1]
	}
	return ""
}

// readSettings reads config.yaml, then config.yaml.d/*.yaml in order, then flags; what comes later replaces what was
// there, but adds to it if its name ends in "+".
func readSettings(folder string, flags []string) (settings, error) {
	told := settings{}
	more, err := filepath.Glob(filepath.Join(folder, "config.yaml.d", "*.yaml"))
	if err != nil {
		return nil, err
	}
	sort.Strings(more)
	for _, path := range append([]string{filepath.Join(folder, "config.yaml")}, more...) {
		text, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue
		} else if err != nil {
			return nil, err
		}
		if err := told.readFile(string(text)); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return told, told.readFlags(flags)
}

// readFile understands the YAML that is written for k3s: `name: value`, `name: ["value", …]`, and lists of `- value`.
func (s settings) readFile(text string) error {
	name, fresh := "", settings{}
	for _, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch item, is := strings.TrimPrefix(trimmed, "- "), strings.HasPrefix(trimmed, "- "); {
		case trimmed == "" || strings.HasPrefix(trimmed, "#"):
		case is && name != "":
			fresh[name] = append(fresh[name], unquoted(item))
		default:
			before, after, found := strings.Cut(trimmed, ":")
			if !found || is {
				return fmt.Errorf("not understood: %s", line)
			}
			name, after = before, strings.TrimSpace(after)
			fresh[name] = nil
			if strings.HasPrefix(after, "[") && strings.HasSuffix(after, "]") {
				for _, each := range strings.Split(after[1:len(after)-1], ",") {
					fresh[name] = append(fresh[name], unquoted(each))
				}
			} else if after != "" {
				fresh[name] = []string{unquoted(after)}
			}
		}
	}
	for name, values := range fresh {
		if plain := strings.TrimSuffix(name, "+"); plain != name {
			s[plain] = append(s[plain], values...)
		} else {
			s[name] = values
		}
	}
	return nil
}

func (s settings) readFlags(flags []string) error {
	for index := 0; index < len(flags); index++ {
		flag := strings.TrimLeft(flags[index], "-")
		if flag == flags[index] {
			return fmt.Errorf("not understood: %s", flag)
		}
		name, value, given := strings.Cut(flag, "=")
		if !given && index+1 < len(flags) && !strings.HasPrefix(flags[index+1], "-") {
			index++
			value, given = flags[index], true
		}
		if !given {
			value = "true"
		}
		s[name] = append(s[name], value)
	}
	return nil
}

func unquoted(text string) string {
	return strings.Trim(strings.TrimSpace(text), `"'`)
}
