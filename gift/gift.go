package gift

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// Limits of a gift.
const (
	MaxPrice    = 1_000_000 // beans for one
	MaxTier     = 3
	maxGiftName = 64 // characters
	maxNames    = 20
	maxIconURL  = 2048 // bytes
)

// catalogue is a gateway's copy.
type catalogue struct {
	gifts  []*proto.Gift
	etag   string
	readAt time.Time
}

// Catalogue returns all gifts, small tiers and low prices first, and an HTTP entity tag that
// changes with them. It may be CatalogueAge old. The gifts are shared: do not change them.
func (g *Gifts) Catalogue(ctx context.Context) (gifts []*proto.Gift, etag string, err error) {
	g.catalogueMu.Lock()
	defer g.catalogueMu.Unlock()
	if g.catalogue.etag == "" || time.Since(g.catalogue.readAt) > g.cfg.CatalogueAge {
		c, err := readCatalogue(ctx, g.pool)
		if err != nil {
			return nil, "", err
		}
		g.catalogue = c
	}
	return g.catalogue.gifts, g.catalogue.etag, nil
}

func readCatalogue(ctx context.Context, q store.Querier) (catalogue, error) {
	c := catalogue{readAt: time.Now()}
	rows, err := q.Query(ctx, `SELECT id, names, beans, tier, icon_url FROM gift ORDER BY tier, beans, id`)
	if err != nil {
		return c, fmt.Errorf("read gifts: %w", err)
	}
	c.gifts, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*proto.Gift, error) {
		gift := new(proto.Gift)
		return gift, row.Scan(&gift.Id, &gift.Names, &gift.Beans, &gift.Tier, &gift.IconUrl)
	})
	if err != nil {
		return c, fmt.Errorf("read gifts: %w", err)
	}
	hash := sha256.New()
	for _, gift := range c.gifts {
		data, err := proto.Encode(proto.Binary, gift)
		if err != nil {
			return c, fmt.Errorf("gift %s: %w", gift.Id, err)
		}
		fmt.Fprintf(hash, "%d ", len(data))
		hash.Write(data)
	}
	c.etag = `"` + hex.EncodeToString(hash.Sum(nil)[:12]) + `"`
	return c, nil
}

// PutGift adds a gift or replaces the one of the same id; tips decided from then on cost the new
// price. Other gateways show it after CatalogueAge.
func (g *Gifts) PutGift(ctx context.Context, gift *proto.Gift) error {
	if err := checkGift(gift); err != nil {
		return err
	}
	_, err := g.pool.Exec(ctx, `
		INSERT INTO gift (id, names, beans, tier, icon_url) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO UPDATE SET names = $2, beans = $3, tier = $4, icon_url = $5, updated_at = clock_timestamp()`,
		gift.Id, gift.Names, gift.Beans, gift.Tier, gift.IconUrl)
	if err != nil {
		return fmt.Errorf("put gift %s: %w", gift.Id, err)
	}
	g.catalogueMu.Lock()
	defer g.catalogueMu.Unlock()
	g.catalogue = catalogue{}
	return nil
}

func checkGift(gift *proto.Gift) error {
	switch {
	case !store.ValidID(gift.GetId()):
		return invalid("a gift's id is 1 to %d of A-Z a-z 0-9 _ -", store.MaxID)
	case gift.Beans < 1 || gift.Beans > MaxPrice:
		return invalid("a gift costs 1 to %d beans", MaxPrice)
	case gift.Tier < 1 || gift.Tier > MaxTier:
		return invalid("a gift's tier is 1 to %d", MaxTier)
	case len(gift.Names) == 0 || len(gift.Names) > maxNames:
		return invalid("a gift has names in 1 to %d languages", maxNames)
	case len(gift.IconUrl) > maxIconURL || !storable(gift.IconUrl):
		return invalid("a gift's icon_url has at most %d bytes", maxIconURL)
	}
	for tag, name := range gift.Names {
		if tag == "" || !storable(tag) {
			return invalid("a gift's names go by language tag")
		}
		if name == "" || !storable(name) || utf8.RuneCountInString(name) > maxGiftName {
			return invalid("a gift's name has 1 to %d characters", maxGiftName)
		}
	}
	return nil
}

// MaxShare is the whole of a tip in parts per million.
const MaxShare = ppm

// PutHostShare sets what a host keeps of the tips decided from then on, in parts per million (0 to
// MaxShare). Hosts without one keep half.
func (g *Gifts) PutHostShare(ctx context.Context, hostID string, share int64) error {
	if hostID == "" || len(hostID) > maxUser || !storable(hostID) {
		return invalid("a host's id is 1 to %d bytes of text", maxUser)
	}
	if share < 0 || share > MaxShare {
		return invalid("a host's share is 0 to %d ppm", int64(MaxShare))
	}
	_, err := g.pool.Exec(ctx, `INSERT INTO host_share (host_id, ppm) VALUES ($1, $2) ON CONFLICT (host_id) DO UPDATE SET ppm = $2`, hostID, share)
	if err != nil {
		return fmt.Errorf("put host share: %w", err)
	}
	return nil
}
