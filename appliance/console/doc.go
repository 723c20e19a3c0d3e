// Package console owns the pages that a browser sees. It uses what the API uses and can do nothing that the API cannot: each
// page asks the API's handler in this process, as whoever looks at the page. What may be seen and changed is decided there,
// and there alone.
package console
