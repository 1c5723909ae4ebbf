using Tanjiren.Agent.Keys;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Keys;

/// <summary>Whether a keychain answers is found out once and in time, and what it does not give out is not taken for gone.</summary>
public sealed class KeychainTests
{
    /// <summary>Enough for a machine that is busy with other tests.</summary>
    private static readonly TimeSpan Short = TimeSpan.FromSeconds(1);

    private readonly MemoryKeychain store = new();

    [Fact]
    public void One_that_answers_takes_new_secrets_and_is_asked_for_that_once()
    {
        var keychain = Of(KeychainUse.Auto);
        (keychain.Takes(), keychain.Takes(), keychain.Absence).ShouldBe((true, true, null));
        store.Asked.Count(a => a.StartsWith("write ", StringComparison.Ordinal)).ShouldBe(1);
        store.Names.ShouldBeEmpty("a probe leaves nothing");
    }

    [Theory]
    [InlineData("locked")]
    [InlineData("silent")]
    [InlineData("broken")]
    [InlineData("none")]
    public void Where_none_answers_secrets_go_into_files_or_nowhere(string how)
    {
        Befall(how);
        var keychain = Of(KeychainUse.Auto, how == "none" ? null : store);
        keychain.Takes().ShouldBeFalse();
        keychain.Absence.ShouldNotBeNullOrEmpty();
        keychain.TryKeep("a", [1]).ShouldBeFalse();

        var required = Of(KeychainUse.Required, how == "none" ? null : store);
        var refused = Should.Throw<KeychainException>(() => required.Takes());
        refused.What.ShouldStartWith("TANVRIT_KEYCHAIN is 'required', and no keychain answers: ");
        refused.Next.ShouldNotBeNullOrEmpty();
        Should.Throw<KeychainException>(() => required.TryKeep("a", [1]));
        store.Speak();
    }

    [Fact]
    public void Told_to_use_files_it_asks_nothing()
    {
        var keychain = Of(KeychainUse.File);
        keychain.Takes().ShouldBeFalse();
        keychain.Absence.ShouldBeNull("it is as it was asked for");
        Should.Throw<KeychainException>(() => keychain.Read("a")).Message.ShouldContain("TANVRIT_KEYCHAIN is 'file'");
        store.Asked.ShouldBeEmpty();
    }

    [Fact]
    public void One_that_waits_for_a_password_holds_nobody_up_and_is_asked_again_when_it_has_it()
    {
        var keychain = Of(KeychainUse.Auto);
        keychain.TryKeep("a", [1, 2]).ShouldBeTrue();
        store.FallSilent();
        Should.Throw<KeychainException>(() => keychain.Read("a")).What.ShouldContain("has not answered for 1 s");
        // Behind the question that hangs.
        Should.Throw<KeychainException>(() => keychain.Read("a"));

        store.Speak();

        keychain.Read("a").ShouldBe([1, 2]);
    }

    [Fact]
    public void What_is_not_given_out_is_gone_only_when_the_keychain_answers_to_something_else()
    {
        var keychain = Of(KeychainUse.Auto);
        keychain.TryKeep("a", [1]).ShouldBeTrue();
        store.Locked = true;
        var locked = Should.Throw<KeychainException>(() => keychain.Read("a"));
        locked.What.ShouldContain("is locked");
        Should.Throw<KeychainException>(() => keychain.Delete("a"));
        store.Locked = false;
        keychain.Read("a").ShouldBe([1]);

        keychain.Delete("a");

        keychain.Read("a").ShouldBeNull();
    }

    [Fact]
    public void One_that_was_unlocked_between_two_looks_has_lost_nothing()
    {
        var keychain = Of(KeychainUse.Auto);
        keychain.TryKeep("a", [1]).ShouldBeTrue();
        store.Locked = true;
        store.Before = operation => store.Locked &= !operation.StartsWith("write probe.", StringComparison.Ordinal);

        keychain.Read("a").ShouldBe([1]);
    }

    [Fact]
    public void A_secret_that_is_not_kept_after_all_goes_into_a_file()
    {
        var keychain = Of(KeychainUse.Auto);
        keychain.Takes().ShouldBeTrue();
        store.Locked = true;
        keychain.TryKeep("a", [1]).ShouldBeFalse();
        (keychain.Takes(), keychain.Absence is null).ShouldBe((false, false));
    }

    private Keychain Of(KeychainUse use) => Of(use, store);

    private static Keychain Of(KeychainUse use, ISecretStore? store) => new(use, store, limit: Short);

    private void Befall(string how)
    {
        store.Locked = how == "locked";
        if (how == "silent") store.FallSilent();
        if (how == "broken") store.Before = static _ => throw new DllNotFoundException("libsecret-1.so.0");
    }
}
