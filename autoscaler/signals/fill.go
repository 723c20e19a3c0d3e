package signals

import (
	"fmt"
	"strings"
)

// Fill puts a service's name, project and model into a query for $service, $project and $model, so that they are what
// they are: within quotes they are escaped as these quotes want it. Outside of quotes a value must be fit to be a name.
func Fill(query string, s *Service) (string, error) {
	var out strings.Builder
	var quote byte // that stands open; 0: none
	for i := 0; i < len(query); i++ {
		b := query[i]
		switch {
		case quote != 0 && quote != '`' && b == '\\' && i+1 < len(query):
			out.WriteByte(b)
			i++
			b = query[i]
		case quote == 0 && b == '#': // a comment
			end := strings.IndexByte(query[i:], '\n')
			if end < 0 {
				end = len(query) - i
			}
			out.WriteString(query[i : i+end])
			i += end - 1
			continue
		case b == quote && quote != 0:
			quote = 0
		case quote == 0 && (b == '"' || b == '\'' || b == '`'):
			quote = b
		case b == '$':
			n := 1
			for i+n < len(query) && (isLetter(query[i+n]) || isDigit(query[i+n])) {
				n++
			}
			value, known := s.placeholder(query[i+1 : i+n])
			if !known {
				break
			}
			filled, err := quoteFor(quote, value)
			if err != nil {
				return "", fmt.Errorf("%s: %w", query[i:i+n], err)
			}
			out.WriteString(filled)
			i += n - 1
			continue
		}
		out.WriteByte(b)
	}
	return out.String(), nil
}

func (s *Service) placeholder(name string) (string, bool) {
	switch name {
	case "service":
		return s.Name, true
	case "project":
		return s.Project, true
	case "model":
		return s.Model, true
	}
	return "", false
}

func quoteFor(quote byte, value string) (string, error) {
	switch quote {
	case 0:
		for i := range len(value) {
			if !isLetter(value[i]) && (i == 0 || !isDigit(value[i])) {
				return "", fmt.Errorf("%q cannot stand in a query without quotes", value)
			}
		}
		if value == "" {
			return "", fmt.Errorf("it is empty")
		}
		return value, nil
	case '`':
		if strings.ContainsAny(value, "`\r") {
			return "", fmt.Errorf("%q cannot stand between backquotes", value)
		}
		return value, nil
	}
	return strings.NewReplacer(`\`, `\\`, string(quote), `\`+string(quote), "\n", `\n`).Replace(value), nil
}
