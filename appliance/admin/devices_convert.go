package admin

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/api"
)

// holderName is what people call a session.
type holderName struct{ name, project, service string }

// whole is all of a device, in accel's smallest unit.
const whole = 100

// share writes a part of a device: 0.50, 1.00.
func share(a accel.Amount) string { return fmt.Sprintf("%d.%02d", a/whole, a%whole) }

// devices says how every device of the boxes is, in the order in which people list them.
func devices(boxes []Box, who map[string]holderName) []api.Device {
	out := []api.Device{}
	for _, b := range boxes {
		node := b.State.Node()
		refs := refs(node, len(boxes) > 1)
		for _, d := range node.Devices {
			v := device(b, d)
			v.Ref = refs[d.ID]
			for other, kind := range d.Links {
				v.Links = append(v.Links, api.Link{Device: other, Ref: cmp.Or(refs[other], other), Kind: kind})
			}
			slices.SortFunc(v.Links, func(a, b api.Link) int {
				return cmp.Or(slices.Compare(refNumbers(a.Ref), refNumbers(b.Ref)), strings.Compare(a.Device, b.Device))
			})
			var taken accel.Amount
			for _, held := range b.Claims {
				for _, sh := range stillHeld(held) {
					if sh.Device == d.ID {
						taken += sh.Amount
						v.Holders = append(v.Holders, holder(held, sh, who[held.Session]))
					}
				}
			}
			v.Taken = share(taken)
			out = append(out, v)
		}
	}
	slices.SortFunc(out, byIndex)
	return out
}

// refs are what people call the devices of a node, by id: cuda:0, cuda:0:1 for the second slice of the first, and with
// the node's name where there are several nodes. One that the box does not list any more has no number: it is called by
// its id, for cuda:0 may be another device by now.
func refs(n *accel.Node, several bool) map[string]string {
	index := map[string]int{}
	for _, d := range n.Devices {
		index[d.ID] = d.Index
	}
	out := map[string]string{}
	for _, d := range n.Devices {
		ref := d.Family + ":" + strconv.Itoa(d.Index)
		if parent, ok := index[d.Parent]; ok && d.Parent != "" {
			ref = d.Family + ":" + strconv.Itoa(parent) + ":" + strconv.Itoa(d.Index)
		}
		if d.Name == "" && d.Fault != "" { // known by a claim alone
			ref = d.ID
		}
		if several {
			ref = n.Name + "/" + ref
		}
		out[d.ID] = ref
	}
	return out
}

func device(b Box, d accel.Device) api.Device {
	v := api.Device{
		ID: d.ID, Node: b.State.Name(), Index: d.Index, Name: d.Name, Family: d.Family, Slot: string(d.Slot), Architecture: d.Architecture, PCI: d.PCI, NUMA: d.NUMA,
		Parent: d.Parent, Simulated: d.Simulated, MemoryTotal: cmp.Or(d.Memory, -1),
		MemoryUsed: -1, Utilization: -1, Temperature: -1, Power: -1, Holders: []api.Holder{},
	}
	h := b.Health[d.ID]
	v.Health, v.Reason, v.Since = string(cmp.Or(h.State, accel.HealthOK)), h.Reason, timePtr(h.Since)
	sample, ok := b.Samples[d.ID]
	if !ok {
		return v
	}
	v.SampledAt = timePtr(sample.At)
	if h.State != accel.HealthLost { // what it said before it was lost is no answer to how it is
		v.MemoryUsed, v.Utilization, v.Temperature, v.Power = sample.MemoryUsed, sample.Utilization, sample.Temperature, sample.Power
	}
	return v
}

func holder(h accel.Entry, sh accel.Share, who holderName) api.Holder {
	out := api.Holder{
		Session: h.Session, Name: who.name, Project: who.project, Service: who.service, Slot: string(sh.Slot),
		Share: share(sh.Amount), Memory: sh.Memory, MemoryUsed: -1, State: string(h.State),
	}
	if used, ok := h.Used[sh.Device]; ok {
		out.MemoryUsed = used
	}
	return out
}

// stillHeld are the parts of devices that a claim keeps others from.
func stillHeld(e accel.Entry) []accel.Share {
	if e.State == accel.ClaimLeaving {
		return e.Rest
	}
	return e.Shares
}

func node(b Box) api.Node {
	n := b.State.Node()
	out := api.Node{Name: n.Name, Labels: n.Labels, Runtime: b.Runtime, Devices: counts(b)}
	for _, c := range out.Devices {
		out.Simulated = out.Simulated || c.Simulated
	}
	out.CPU = api.Cores{Total: cores(n.CPU), Taken: cores(n.CPU - b.State.FreeCPU()), Free: cores(b.State.Free(accel.SlotCPU)), Used: b.BusyCores}
	out.Memory = api.Bytes{
		Total: int64(n.Memory), Taken: int64(n.Memory - b.State.FreeMemory()), Free: int64(b.State.Free(accel.SlotMem)), Used: b.UsedMemory,
	}
	for _, n := range n.NUMA {
		out.NUMA = append(out.NUMA, api.NUMANode{ID: n.ID, CPUs: ranges(n.CPUs), Memory: n.Memory})
	}
	return out
}

func cores(a accel.Amount) float64 { return float64(a) / 1000 }

// counts sums the devices of a box up, a row for each kind, in the order in which the kinds come.
func counts(b Box) []api.DeviceCount {
	out := []api.DeviceCount{}
	for _, d := range devices([]Box{b}, nil) {
		i := slices.IndexFunc(out, func(c api.DeviceCount) bool { return c.Slot == d.Slot && c.Name == d.Name })
		if i < 0 {
			i = len(out)
			out = append(out, api.DeviceCount{Slot: d.Slot, Name: d.Name})
		}
		c := &out[i]
		c.Total++
		c.Simulated = c.Simulated || d.Simulated
		switch {
		case d.Health != api.DeviceOK:
			c.Unusable++
		case d.Taken == share(0):
			c.Free++
		case d.Taken >= share(whole):
			c.Taken++
		default:
			c.Shared++
		}
	}
	return out
}

// ranges writes numbers as the kernel does: 0-15,32-47.
func ranges(numbers []int) string {
	numbers = slices.Sorted(slices.Values(numbers))
	var parts []string
	for i := 0; i < len(numbers); {
		last := i
		for last+1 < len(numbers) && numbers[last+1] <= numbers[last]+1 {
			last++
		}
		part := strconv.Itoa(numbers[i])
		if numbers[last] > numbers[i] {
			part += "-" + strconv.Itoa(numbers[last])
		}
		parts = append(parts, part)
		i = last + 1
	}
	return strings.Join(parts, ",")
}

// asked writes slots as people do: cpu 4, mem 32g, cuda.shares 0.5.
func asked(slots accel.Slots) map[string]string {
	if len(slots) == 0 {
		return nil
	}
	out := slots.Written()
	if bytes := int64(slots[accel.SlotMem]); bytes > 0 {
		out[string(accel.SlotMem)] = binary(bytes)
	}
	return out
}

// binary writes bytes in the largest unit that is exact: 32g, 1536m, 7.
func binary(bytes int64) string {
	for i, unit := range []string{"t", "g", "m", "k"} {
		if one := int64(1) << (40 - 10*i); bytes%one == 0 {
			return strconv.FormatInt(bytes/one, 10) + unit
		}
	}
	return strconv.FormatInt(bytes, 10)
}

// claims are what sessions hold, by session.
func claims(boxes []Box) map[string]*api.Claim {
	out := map[string]*api.Claim{}
	for _, b := range boxes {
		refs := refs(b.State.Node(), len(boxes) > 1)
		for _, held := range b.Claims {
			out[held.Session] = claim(held, b.State.Node().Devices, refs)
		}
	}
	return out
}

func claim(held accel.Entry, devices []accel.Device, refs map[string]string) *api.Claim {
	c := &api.Claim{Node: held.Node, State: string(held.State), NUMA: held.NUMA, Devices: []api.ClaimDevice{}}
	for _, sh := range stillHeld(held) {
		h := holder(held, sh, holderName{})
		part := api.ClaimDevice{Device: sh.Device, Ref: cmp.Or(refs[sh.Device], sh.Device), Slot: h.Slot, Share: h.Share, Memory: h.Memory, MemoryUsed: h.MemoryUsed}
		if i := slices.IndexFunc(devices, func(d accel.Device) bool { return d.ID == sh.Device }); i >= 0 {
			part.Name = devices[i].Name
		}
		c.Devices = append(c.Devices, part)
	}
	return c
}
