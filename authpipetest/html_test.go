package authpipetest_test

import (
	"cmp"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// input is a form control that a person sees.
type input struct {
	Legends           []string // of the fieldsets around it, the outermost first
	Kind, Name, Value string
	Label             string
	On                bool // checked
}

// inputs parses a page and returns its form controls in order. Each must have a label, and each fieldset a legend.
func inputs(t *testing.T, body string) []input {
	t.Helper()
	p := pageParser{t: t}
	d := xml.NewDecoder(strings.NewReader(body))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the page is not well-formed: %v", err)
		}
		p.take(token)
	}
	for _, at := range p.found {
		if strings.TrimSpace(at.Label) == "" {
			t.Errorf("the control %s %q %q has no label", at.Kind, at.Name, at.Value)
		}
	}
	return p.found
}

// pageParser follows the fieldsets, labels and forms around the current position of a page.
type pageParser struct {
	t        *testing.T
	legends  []string
	inLegend bool
	labelled int // index+1 of the control in the current label; zero: none yet
	label    *strings.Builder
	found    []input
}

func (p *pageParser) take(token xml.Token) {
	switch token := token.(type) {
	case xml.StartElement:
		p.start(token)
	case xml.CharData:
		text := string(token)
		if p.inLegend {
			p.legends[len(p.legends)-1] += text
		}
		if p.label != nil {
			p.label.WriteString(text)
		}
	case xml.EndElement:
		p.end(token.Name.Local)
	}
}

func (p *pageParser) start(e xml.StartElement) {
	attributes := map[string]string{}
	for _, a := range e.Attr {
		attributes[a.Name.Local] = a.Value
	}
	switch e.Name.Local {
	case "fieldset":
		p.legends = append(p.legends, "")
	case "legend":
		p.inLegend = true
	case "label":
		p.label, p.labelled = &strings.Builder{}, 0
	case "input", "select":
		if attributes["type"] == "hidden" {
			return
		}
		_, on := attributes["checked"]
		p.found = append(p.found, input{
			Legends: slices.Clone(p.legends), Kind: cmp.Or(attributes["type"], e.Name.Local), Name: attributes["name"],
			Value: attributes["value"], Label: attributes["aria-label"], On: on,
		})
		p.labelled = len(p.found)
	}
}

func (p *pageParser) end(name string) {
	switch name {
	case "legend":
		p.inLegend = false
	case "fieldset":
		if p.legends[len(p.legends)-1] == "" {
			p.t.Error("a fieldset has no legend")
		}
		p.legends = p.legends[:len(p.legends)-1]
	case "label":
		if p.labelled > 0 {
			p.found[p.labelled-1].Label = strings.TrimSpace(p.label.String())
		}
		p.label, p.labelled = nil, 0
	}
}

// choices describes the checkboxes and radio buttons of a name: their legends, label, and whether they are on.
func choices(all []input, name string) []string {
	var found []string
	for _, at := range all {
		if at.Name == name && (at.Kind == "checkbox" || at.Kind == "radio") {
			state := "off"
			if at.On {
				state = "on"
			}
			found = append(found, strings.Join(append(slices.Clone(at.Legends), at.Label), " / ")+": "+state)
		}
	}
	return found
}
