with recent as (
    select o.id,
           o.customer,
           o.placed_at,
           o.status,
           sum(l.quantity * l.price) as total
    from orders o
    join order_lines l on l.order_id = o.id
    where o.placed_at >= '2026-01-01'
      and o.status in ('paid', 'shipped', 'delivered')
    group by o.id, o.customer, o.placed_at, o.status
),
ranked as (
    select r.*,
           row_number() over (
               partition by r.customer
               order by r.total desc, r.placed_at
           ) as position,
           lag(r.total) over (
               partition by r.customer
               order by r.placed_at
           ) as previous
    from recent r
),
refunds as (
    select p.order_id,
           sum(p.amount) as refunded
    from payments p
    where p.kind = 'refund'
    group by p.order_id
    having sum(p.amount) > 0
)
select c.id as id,
       c.name,
       c.email,
       a.city,
       a.country,
       ranked.position,
       ranked.total,
       coalesce(refunds.refunded, 0) as refunded,
       case
           when refunds.refunded is null then 'none'
           when refunds.refunded >= ranked.total then 'full'
           else 'part'
       end as refund,
       round(100.0 * coalesce(refunds.refunded, 0) / nullif(ranked.total, 0), 2) as share,
       extract(year from ranked.placed_at) as year,
       (
           select count(*)
           from support_tickets t
           where t.customer = c.id
             and t.opened_at > ranked.placed_at
       ) as tickets
from customers c
join addresses a on a.customer = c.id and a.is_default
join ranked on ranked.customer = c.id
left join refunds on refunds.order_id = ranked.id
where c.deleted_at is null
  and ranked.position <= 5
  and (a.country = 'NL' or a.country = 'BE' or a.city like 'Ant%')
  and not exists (select 1 from blocked b where b.customer = c.id)
order by c.name, ranked.position
limit 500
