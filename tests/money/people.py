"""Who there is, and what each does on a day by chance and by habit."""

from collections.abc import Awaitable, Callable

from sqlalchemy import select

from billing import accounts
from billing.clock import DAY
from billing.errors import BelowMinimum, CardNeeded, Conflict, TooMany
from billing.gateway import GatewayError
from billing.models import Card, Invoice, Payment, PaymentStatus
from cloud import key_ring
from tests.cloud.world import PUBLIC_KEY
from tests.money.acts import Acts, Person
from tests.money.world import World

Act = Callable[[Person], Awaitable[str]]


class People(Acts):
    """Everybody, and what they did.

    Attributes:
        everybody: who came, the lively with habits of their own.
        count: how often which act happened.
    """

    def __init__(self, world: World) -> None:
        """Begin with nobody."""
        super().__init__(world)
        self.everybody: list[Person] = []
        self.count: dict[str, int] = {}

    async def born(self, *, quiet: bool = False) -> None:
        """A new customer with an SSH key; one in twenty cannot be reached in the chat.

        Most customers of such a shop are quiet: they come, deploy, and let their money or their card do the rest.
        """
        number = len(self.everybody) + 1
        world = self.world
        async with world.database.transaction() as session:
            customer = await accounts.register(
                session,
                telegram_id=1000 + number,
                username=f"u{number}",
                name=f"P {number}",
                language="en",
                now=world.now,
            )
            await key_ring.add(session, customer, PUBLIC_KEY, now=world.now)
        world.reachable[customer.id] = self.rng.random() > 0.05
        person = Person(customer.id) if quiet else self._lively(customer.id)
        self.everybody.append(person)
        if not quiet and self.rng.random() < 0.7:
            await self._try(self._add_card, person)
        if quiet:
            (money,) = self.rng.choices((self._add_card, self._redeem, self._redeem_a_lot), (1, 2, 17))
            await self._try(money, person)
            await self._try(self._deploy_small, person)

    def _lively(self, customer_id: int) -> Person:
        pick = self.rng.choice
        return Person(
            customer_id,
            deploys=pick((0.01, 0.02, 0.05)),
            deletes=pick((0.0, 0.0, 0.02)),
            adds_card=pick((0.0, 0.0, 0.005, 0.1)),
            redeems=pick((0.0, 0.0, 0.01, 0.02)),
            tops_up=pick((0.0, 0.0, 0.01, 0.02)),
            pays=pick((0.0, 0.01, 0.05)),
            tidies=0.005,
            answers_bank=pick((0.0, 0.2, 0.7)),
            disputes=pick((0.0, 0.0, 0.01)),
        )

    async def day(self) -> None:
        """One day of everybody, their banks and the operator."""
        sensible = await self._sensible()
        for person in self.everybody:
            for act, likely in self._habits(person):
                if likely and self.rng.random() < likely and person.id in sensible.get(act.__name__, {person.id}):
                    await self._try(act, person)
        await self._banks_decide()
        for act, likely in self._chances():
            if self.rng.random() < likely:
                await self._try(act, self.rng.choice(self.everybody))

    def _habits(self, person: Person) -> tuple[tuple[Act, float], ...]:
        return (
            (self._redeem, person.redeems),
            (self._add_card, person.adds_card),
            (self._top_up, person.tops_up),
            (self._deploy, person.deploys),
            (self._delete, person.deletes),
            (self._tidy_cards, person.tidies),
            (self._pay, person.pays),
            (self._answer_bank, person.answers_bank),
            (self._dispute, person.disputes),
        )

    def _chances(self) -> tuple[tuple[Act, float], ...]:
        """What the operator, the cloud and banks do on a day, to anybody."""
        return (self._refund, 0.4), (self._write_off, 0.02), (self._vanish, 0.1), (self._send_back, 0.1)

    async def _sensible(self) -> dict[str, set[int]]:
        """For whom an act makes sense this morning; asking once for all is what makes long stories affordable."""
        recent = Payment.created_at > self.world.now - 60 * DAY
        async with self.world.database.read() as session:
            return {
                "_answer_bank": set(
                    await session.scalars(select(Payment.customer_id).where(Payment.status == PaymentStatus.ACTION))
                ),
                "_pay": set(await session.scalars(select(Invoice.customer_id).where(Invoice.due > 0))),
                "_tidy_cards": set(await session.scalars(select(Card.customer_id).where(Card.removed_at.is_(None)))),
                "_dispute": set(
                    await session.scalars(
                        select(Payment.customer_id).where(recent, Payment.status == PaymentStatus.SUCCEEDED)
                    )
                ),
                "_delete": {run.customer_id for run in self.runs.values() if run.ended_at is None},
            }

    async def _try(self, act: Act, person: Person) -> None:
        """Do something; what the house or the provider refuses is as good an outcome as any."""
        try:
            done = await act(person)
        except GatewayError:
            done = f"{act.__name__} without an answer"
        except (CardNeeded, BelowMinimum, Conflict, TooMany) as refused:
            done = f"{act.__name__} {type(refused).__name__}"
        self.count[done] = self.count.get(done, 0) + 1
