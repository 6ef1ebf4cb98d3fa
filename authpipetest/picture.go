package authpipetest

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/url"
	"strconv"
)

// pictureSides are the sides of the picture by its type, in pixels ("User Picture").
var pictureSides = map[string]int{"small": 50, "square": 50, "album": 50, "normal": 100, "large": 200}

// pictureLimit is the longest side that the simulator draws.
const pictureLimit = 2048

// profilePicture describes the picture of a person or a page.
type profilePicture struct {
	url           string
	width, height int
}

// pictureOf reads type, width and height, as arguments of the field or as parameters of the call. A side that is not given is
// as long as the other.
func (f *Facebook) pictureOf(c *call, id string, args url.Values) profilePicture {
	side := pictureSides[args.Get("type")]
	if side == 0 {
		side = pictureSides["square"]
	}
	width, height := pixels(args.Get("width")), pixels(args.Get("height"))
	switch {
	case width == 0 && height == 0:
		width, height = side, side
	case width == 0:
		width = height
	case height == 0:
		height = width
	}
	q := url.Values{"asid": {id}, "width": {strconv.Itoa(width)}, "height": {strconv.Itoa(height)}}
	return profilePicture{c.base() + "/platform/profilepic/?" + q.Encode(), width, height}
}

// pixels is zero for a text that is no length.
func pixels(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n <= 0 {
		return 0
	}
	return min(n, pictureLimit)
}

func (p profilePicture) node() node {
	return node{"ProfilePictureSource", []string{"height", "is_silhouette", "url", "width"}, "bottom cache_key left right top", map[string]any{
		"height": p.height, "is_silhouette": false, "url": p.url, "width": p.width, "id": nil,
	}}
}

// expand is the field picture.
func (p profilePicture) expand(x field) (any, error) {
	data, err := p.node().pick(x.fields)
	if err != nil {
		return nil, err
	}
	return object{{"data", data}}, nil
}

// picture answers /{node}/picture by a redirect to the picture, or with redirect=0 by its description ("User Picture").
func (f *Facebook) picture(c *call) answer {
	var location string
	a := graph(func(f *Facebook, c *call) (any, error) {
		t, err := f.authenticate(c)
		if err != nil {
			return nil, err
		}
		whom, err := f.target(c, t)
		if err != nil {
			return nil, err
		}
		if whom.business != "" {
			return nil, noSuchField("picture", "Business")
		}
		id := whom.page
		if id == "" {
			id = f.ScopedID(t.app, whom.person)
		}
		asked, err := fieldsOf(c.param("fields"))
		if err != nil {
			return nil, err
		}
		shown := f.pictureOf(c, id, url.Values{"type": {c.param("type")}, "width": {c.param("width")}, "height": {c.param("height")}})
		if redirect := c.param("redirect"); redirect != "0" && redirect != "false" {
			location = shown.url
		}
		return shown.expand(field{fields: asked})
	})(f, c)
	if location != "" {
		a.status, a.body = http.StatusFound, nil
		a.header.Set("Location", location)
		a.header.Set("Content-Type", "image/png")
	}
	return a
}

// pictureFile draws a picture: a square in one colour. At Facebook it comes from another host.
func (f *Facebook) pictureFile(c *call) answer {
	width, height := max(1, pixels(c.query.Get("width"))), max(1, pixels(c.query.Get("height")))
	drawn := image.NewPaletted(image.Rect(0, 0, width, height), color.Palette{color.RGBA{0x18, 0x77, 0xf2, 0xff}})
	var body bytes.Buffer
	if err := png.Encode(&body, drawn); err != nil {
		panic("drawing a picture: " + err.Error()) // nothing in it can fail
	}
	a := answer{status: http.StatusOK, header: f.noStore(), body: body.Bytes()}
	a.header.Set("Content-Type", "image/png")
	return a
}
