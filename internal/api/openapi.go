package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// object is a JSON object of the description.
type object map[string]any

// openAPI answers with the description of the API.
func (a *API) openAPI(w http.ResponseWriter, _ *call) error {
	return writeJSON(w, http.StatusOK, a.description())
}

// description is the OpenAPI 3.1 document of the routes. Schemas are made of
// the types that are sent.
func (a *API) description() object {
	s := schemas{defined: object{}}
	paths := map[string]object{}
	for _, r := range a.routes() {
		if paths[r.path] == nil {
			paths[r.path] = object{}
		}
		paths[r.path][strings.ToLower(r.method)] = s.operation(&r)
	}
	s.of(reflect.TypeFor[Problem]())
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "ysync", "version": "1",
			"description": "Documents and their past, for operators and programs. A document's name is one segment of the path, percent-encoded.",
		},
		"servers":    []object{{"url": prefix}},
		"paths":      paths,
		"components": object{"schemas": s.defined, "securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}}},
		"security":   []object{{"token": []string{}}, {}},
	}
}

// schemas collects the schemas of named types.
type schemas struct{ defined object }

func (s schemas) operation(r *route) object {
	parameters := []object{}
	for _, name := range []string{"document", "id"} {
		if strings.Contains(r.path, "{"+name+"}") {
			parameters = append(parameters, object{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}})
		}
	}
	for in, ps := range map[string][]parameter{"query": r.query, "header": r.header} {
		for _, p := range ps {
			parameters = append(parameters, object{
				"name": p.name, "in": in, "required": p.required, "description": p.about, "schema": object{"type": p.kind},
			})
		}
	}
	slices.SortStableFunc(parameters, func(a, b object) int {
		return strings.Compare(a["in"].(string)+a["name"].(string), b["in"].(string)+b["name"].(string))
	})
	op := object{"summary": r.summary, "parameters": parameters}
	switch r.body.(type) {
	case nil:
	case rawBody:
		op["requestBody"] = object{"required": true, "content": object{"application/octet-stream": object{}}}
	default:
		op["requestBody"] = object{"content": object{"application/json": object{"schema": s.of(reflect.TypeOf(r.body))}}}
	}
	answer := object{"description": r.summary, "content": s.content(r.answer)}
	responses := object{"default": object{
		"description": "An error, as RFC 9457 writes it.",
		"content":     object{"application/problem+json": object{"schema": s.of(reflect.TypeFor[Problem]())}},
	}}
	status := r.status
	if status == 0 {
		status = http.StatusOK
	}
	responses[strconv.Itoa(status)] = answer
	if r.also != 0 {
		responses[strconv.Itoa(r.also)] = answer
	}
	op["responses"] = responses
	return op
}

// content describes an answer by its types.
func (s schemas) content(answer any) object {
	switch v := answer.(type) {
	case rawBody:
		return object{"application/json": object{}, "text/plain": object{}, "application/octet-stream": object{}}
	case lineSet:
		members := object{}
		for name, value := range v {
			members[name] = s.of(reflect.TypeOf(value))
		}
		return object{"application/x-ndjson": object{"schema": object{
			"description": "one line: an object with one member; the last is end or error",
			"type":        "object", "minProperties": 1, "maxProperties": 1, "properties": members, "additionalProperties": false,
		}}}
	}
	return object{"application/json": object{"schema": s.of(reflect.TypeOf(answer))}}
}

var (
	timeType      = reflect.TypeFor[time.Time]()
	rawType       = reflect.TypeFor[json.RawMessage]()
	marshalerType = reflect.TypeFor[json.Marshaler]()
)

// of is the schema of a type as encoding/json writes it. Structs are defined
// once and referred to.
func (s schemas) of(t reflect.Type) object {
	switch {
	case t == timeType:
		return object{"type": "string", "format": "date-time"}
	case t == rawType, t.Kind() == reflect.Interface, t.Implements(marshalerType):
		return object{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{"type": "string", "contentEncoding": "base64"}
		}
		return object{"type": []string{"array", "null"}, "items": s.of(t.Elem())}
	case reflect.Array:
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		name := schemaName(t)
		if _, known := s.defined[name]; !known {
			s.defined[name] = object{} // for types that hold themselves
			properties, required := object{}, []string{}
			s.fields(t, properties, &required)
			slices.Sort(required)
			s.defined[name] = object{"type": "object", "properties": properties, "required": required}
		}
		return object{"$ref": "#/components/schemas/" + name}
	}
	return object{"type": "integer"}
}

// schemaName names a type; two packages may have types of one name.
func schemaName(t reflect.Type) string {
	name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	if pkg := t.PkgPath(); !strings.HasSuffix(pkg, "/api") {
		pkg = pkg[strings.LastIndexByte(pkg, '/')+1:]
		return strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
	return name
}

// fields adds the fields of a struct, those of embedded ones included.
func (s schemas) fields(t reflect.Type, properties object, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			s.fields(f.Type, properties, required)
			continue
		case !f.IsExported() || name == "-":
			continue
		case name == "":
			name = f.Name
		}
		properties[name] = s.of(f.Type)
		if !strings.Contains(options, "omit") {
			*required = append(*required, name)
		}
	}
}
