package scan

// AskUsage gives body so that its stream_options ask for usage. body is what was fed, whole and without error. Where
// nothing is to be changed it is body itself: when no stream is asked for, when usage is asked for already, or when
// stream_options are no object, which the engine will refuse. Else it is appended to dst.
func (s *Request) AskUsage(dst, body []byte) []byte {
	if !s.stream || s.usage {
		return body
	}
	from, to, text := s.root+1, s.root+1, `"stream_options":{"include_usage":true},`
	switch s.options.first {
	case 0:
	case 'n': // null
		from, to, text = s.options.from, s.options.to, `{"include_usage":true}`
	case '{':
		switch s.include.first {
		case 0:
			from, to, text = s.options.to, s.options.to, `"include_usage":true`
			if !closes(body[to:]) {
				text += ","
			}
		case 'f', 'n': // false and null
			from, to, text = s.include.from, s.include.to, `true`
		default:
			return body
		}
	default:
		return body
	}
	dst = append(dst, body[:from]...)
	dst = append(dst, text...)
	return append(dst, body[to:]...)
}

// closes tells whether an object has no member.
func closes(p []byte) bool {
	for _, c := range p {
		if !space(c) {
			return c == '}'
		}
	}
	return false
}
