package router

import (
	"mime"
	"strings"
)

// source is where a call by model names it.
type source int

const (
	inQuery source = iota
	inJSON
	inForm
	inNothing // compressed: nowhere that can be read
)

// modelSource tells where to look, from what the headers say.
func modelSource(contentType, contentEncoding string, hasBody, inURL bool) source {
	if !hasBody {
		return inQuery
	}
	if contentType == "application/json" && contentEncoding == "" { // most of all
		return inJSON
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = strings.ToLower(strings.TrimSpace(strings.Split(contentType, ";")[0]))
	}
	isJSON := media == "" || media == "application/json" || strings.HasSuffix(media, "+json")
	switch {
	case inURL && (!isJSON || contentEncoding != ""):
		return inQuery
	case contentEncoding != "" && !strings.EqualFold(contentEncoding, "identity"):
		return inNothing
	case media == "multipart/form-data":
		return inForm
	}
	return inJSON // whatever it calls itself: many clients say nothing, or text/plain
}
