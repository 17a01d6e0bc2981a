"""Two languages: Telegram's at first, another by choice, in answers, in messages of jobs, in files and in the menu."""

from datetime import UTC, datetime

from tests.flows.test_order import with_card
from tests.flows.test_settings import tap
from tests.flows.world import KEY, World

RLM = "\N{RIGHT-TO-LEFT MARK}"


async def test_a_customer_is_spoken_to_in_arabic_from_the_first_word(world: World) -> None:
    layla = world.person(2, "Layla", language="ar-EG")
    await layla.start()
    home = await layla.wait_for_text("مرحبًا", "Layla")
    assert all(line.startswith(RLM) for line in home.text.split("\n") if line)
    await layla.send(f"/sshkey {KEY}")
    await layla.wait_for_text("أُضيف المفتاح")
    await layla.send("/addcard")
    await world.pay_page(await layla.wait_for_text("صفحة الدفع"))
    await layla.wait_for_text("حُفظت", "Visa •4242")
    await layla.send("/deploy vm small web")
    await tap(layla, "أنشئ web")
    await layla.wait_for_text("web", "تعمل", "$5.00")
    await world.move_to(datetime(2026, 2, 1, 0, 11, tzinfo=UTC))
    issued = await layla.wait_for_text("الفاتورة", "INV-2026-000001", "يناير 2026", "$3.84")
    assert issued.file_name == "INV-2026-000001.pdf"
    assert issued.content.startswith(b"%PDF")
    await layla.send("/nonsense")
    await layla.wait_for_text("لا أعرف هذا الأمر", "/help")
    await layla.send("/help")
    await layla.wait_for_text("/deploy", "آلة")


async def test_the_language_can_be_changed_at_any_time(world: World) -> None:
    ann = await with_card(world, world.person(1, "Ann"))
    await ann.send("/settings")
    await tap(ann, "🌐 Language")
    await ann.wait_for_text("Which language")
    await tap(ann, "العربية")
    await ann.wait_for_text("بأي لغة أتحدث")
    await ann.send("/settings")
    await ann.wait_for_text("الإعدادات", "العربية")
    await tap(ann, "🌐 اللغة")
    await tap(ann, "English")
    await ann.wait_for_text("Which language shall I speak?")


async def test_the_menu_is_there_in_both_languages(world: World) -> None:
    await world.admin.start()
    await world.admin.wait_for_text("Hello")
    state = world.telegram.state
    assert await state.events.until(lambda: "short_description/ar" in state.profile, 10)
    assert "بالساعة" in state.profile["description/ar"]
    arabic = {each["command"]: each["description"] for each in state.profile["commands/all_private_chats/ar"]}
    assert arabic["prices"] == "الأسعار"
