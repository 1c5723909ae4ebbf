using System.ComponentModel.DataAnnotations;

namespace Tanjiren.Server.Organizations.Invitations;

/// <summary>Settings of invitations: <c>Tanjiren:Invitations</c>. Wrong passwords are limited as at sign-in, by its own settings.</summary>
internal sealed class InvitationOptions
{
    /// <summary>Uses of invitation codes, right and wrong, from one address in five minutes; as many again to look at the page. Default 20.</summary>
    [Range(1, 10_000)]
    public int TriesPerAddress { get; init; } = 20;

    /// <summary>Uses of one code in five minutes, from wherever: who found a link can't try out addresses and passwords. Default 10.</summary>
    [Range(1, 10_000)]
    public int TriesPerCode { get; init; } = 10;
}
