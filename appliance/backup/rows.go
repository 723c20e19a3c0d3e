package backup

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// A row is an array of JSON. Text that is not UTF-8 is {"base64": "..."}, and a number that JSON does not know {"real": "NaN"}; whole
// numbers have no point and no exponent, others have one.

// appendLine writes a row, with a newline.
func appendLine(b []byte, row []any) ([]byte, error) {
	b = append(b, '[')
	for i, v := range row {
		if i > 0 {
			b = append(b, ',')
		}
		switch v := v.(type) {
		case nil:
			b = append(b, "null"...)
		case bool:
			b = strconv.AppendBool(b, v)
		case int64:
			b = strconv.AppendInt(b, v, 10)
		case float64:
			b = appendReal(b, v)
		case string:
			if !utf8.ValidString(v) {
				b = append(append(append(b, `{"base64":"`...), base64.StdEncoding.EncodeToString([]byte(v))...), `"}`...)
				continue
			}
			text, err := json.Marshal(v)
			if err != nil {
				return nil, err
			}
			b = append(b, text...)
		default:
			return nil, fmt.Errorf("a value is a %T", v)
		}
	}
	return append(b, ']', '\n'), nil
}

func appendReal(b []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(strconv.AppendFloat(append(b, `{"real":"`...), v, 'g', -1, 64), `"}`...)
	}
	from := len(b)
	b = strconv.AppendFloat(b, v, 'g', -1, 64)
	if !bytes.ContainsAny(b[from:], ".e") {
		b = append(b, ".0"...)
	}
	return b
}

// parseLine reads what appendLine has written.
func parseLine(line []byte) ([]any, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var row []any
	if err := d.Decode(&row); err != nil {
		return nil, err
	}
	for i, v := range row {
		var err error
		switch v := v.(type) {
		case json.Number:
			row[i], err = parseNumber(v.String())
		case map[string]any:
			row[i], err = parseOdd(v)
		case []any:
			err = errors.New("there is an array in a row")
		}
		if err != nil {
			return nil, err
		}
	}
	return row, nil
}

func parseNumber(text string) (any, error) {
	if bytes.ContainsAny([]byte(text), ".eE") {
		return strconv.ParseFloat(text, 64)
	}
	return strconv.ParseInt(text, 10, 64)
}

func parseOdd(v map[string]any) (any, error) {
	if len(v) == 1 {
		if text, ok := v["base64"].(string); ok {
			raw, err := base64.StdEncoding.DecodeString(text)
			return string(raw), err
		}
		if text, ok := v["real"].(string); ok {
			return strconv.ParseFloat(text, 64)
		}
	}
	return nil, errors.New("there is an object in a row that is no value")
}
