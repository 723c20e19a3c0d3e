package console

import (
	"fmt"
	"html/template"
	"io/fs"
	"sync"
)

// written is a page in a language.
type written struct{ page, language string }

// sheets are the templates of all pages, in every language. Each is read when it is first asked for: a daemon that takes over
// from another has no second to spare for pages that nobody looks at. A test reads them all.
type sheets struct {
	functions func(language string) template.FuncMap

	mu    sync.Mutex
	bases map[string]*template.Template // by language: what all pages share; never executed, for it is cloned
	pages map[written]*template.Template
}

func newSheets(functions func(language string) template.FuncMap) *sheets {
	return &sheets{functions: functions, bases: map[string]*template.Template{}, pages: map[written]*template.Template{}}
}

// page returns a page's templates, with the frame around it.
func (s *sheets) page(name, language string) (*template.Template, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := written{name, language}
	if t, ok := s.pages[key]; ok {
		return t, nil
	}
	raw, err := fs.ReadFile(templates, fileOf(name))
	if err != nil {
		return nil, errNoPage(name)
	}
	base, err := s.base(language)
	if err != nil {
		return nil, err
	}
	t, err := base.Clone()
	if err == nil {
		_, err = t.New(name).Parse(string(raw))
	}
	if err != nil {
		return nil, fmt.Errorf("templates of the console: %w", err)
	}
	s.pages[key] = t
	return t, nil
}

// base is what all pages of a language share. s.mu is held.
func (s *sheets) base(language string) (*template.Template, error) {
	if t, ok := s.bases[language]; ok {
		return t, nil
	}
	t, err := template.New("layout.html").Funcs(s.functions(language)).ParseFS(templates, "templates/layout.html", "templates/fragments.html", "templates/*.parts.html")
	if err != nil {
		return nil, fmt.Errorf("templates of the console: %w", err)
	}
	s.bases[language] = t
	return t, nil
}

// there tells whether a page has a template at all.
func (s *sheets) there(name string) error {
	if _, err := fs.Stat(templates, fileOf(name)); err != nil {
		return errNoPage(name)
	}
	return nil
}

func fileOf(name string) string { return "templates/" + name + ".html" }
