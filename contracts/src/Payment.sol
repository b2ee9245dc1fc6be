// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IPayment} from "./interfaces/IPayment.sol";

/// @title Payment
/// @notice See {IPayment}.
///
/// @dev `protocol/payment/` holds the same rules in Python. The tests run both side by side.
contract Payment is IPayment, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @dev A channel as it is stored. The last three share a slot. `life` outlives the rest.
    struct Channel {
        uint256 invested;
        uint256 withdrawn;
        uint64 unlockTime;
        uint64 unlockedAt;
        uint64 life;
    }

    /// @notice The longest unlock time [s].
    uint256 public constant MAX_UNLOCK_TIME = 365 days;

    /// @inheritdoc IPayment
    IERC20 public immutable override token;

    mapping(address publisher => mapping(address provider => mapping(bytes32 podId => Channel))) private _channels;

    /// @param token_ The token that channels are paid in.
    constructor(IERC20 token_) {
        token = token_;
    }

    // ------------------------------------------------------------------------------------------------ publisher

    /// @inheritdoc IPayment
    function createChannel(address provider, bytes32 podId, uint256 unlockTime, uint256 initialAmount)
        external
        override
        nonReentrant
    {
        Channel storage channel = _channels[msg.sender][provider][podId];

        // Check: something is asked for, the channel is free, the time is bearable.
        if (initialAmount == 0) revert AmountRequired();
        if (channel.invested != 0) revert AlreadyExists();
        if (unlockTime > MAX_UNLOCK_TIME) revert UnlockTimeTooLong(unlockTime, MAX_UNLOCK_TIME);

        // Interaction: first, so that what is credited is what came in; the guard keeps others out meanwhile.
        uint256 received = _pull(initialAmount);

        // Effect: a life begins, locked. A record that `withdrawUnlocked` emptied has nothing withdrawn.
        channel.invested = received;
        channel.unlockTime = uint64(unlockTime);
        channel.unlockedAt = 0;
        channel.life += 1;

        emit ChannelCreated(msg.sender, provider, podId);
        emit Deposited(msg.sender, provider, podId, received);
    }

    /// @inheritdoc IPayment
    function deposit(address provider, bytes32 podId, uint256 amount) external override nonReentrant {
        Channel storage channel = _channels[msg.sender][provider][podId];

        // Check: something is asked for, and there is a channel.
        if (amount == 0) revert AmountRequired();
        if (channel.invested == 0) revert DoesNotExist();

        // Interaction: first, as in `createChannel`.
        uint256 received = _pull(amount);

        // Effect: more is invested, and no unlock runs.
        channel.invested += received;
        channel.unlockedAt = 0;

        emit Deposited(msg.sender, provider, podId, received);
    }

    /// @inheritdoc IPayment
    function unlock(address provider, bytes32 podId) external override nonReentrant {
        Channel storage channel = _channels[msg.sender][provider][podId];

        // Check: there is a channel.
        if (channel.invested == 0) revert DoesNotExist();
        if (channel.unlockedAt != 0) return;

        // Effect: the timer starts. Block time is far below 2**63, and 365 days do not change that.
        uint64 unlockedAt = uint64(block.timestamp) + channel.unlockTime;
        channel.unlockedAt = unlockedAt;

        emit UnlockTimerStarted(msg.sender, provider, podId, unlockedAt);
    }

    /// @inheritdoc IPayment
    function withdrawUnlocked(address provider, bytes32 podId) external override nonReentrant {
        Channel storage channel = _channels[msg.sender][provider][podId];

        // Check: the unlock has passed, and something is left.
        _requireUnlocked(channel);
        uint256 rest = channel.invested - channel.withdrawn;
        if (rest == 0) revert AmountRequired();

        // Effect: what was paid to the provider stays invested.
        channel.invested = channel.withdrawn;

        emit Unlocked(msg.sender, provider, podId, rest);

        // Interaction
        token.safeTransfer(msg.sender, rest);
    }

    /// @inheritdoc IPayment
    function closeChannel(address provider, bytes32 podId) external override nonReentrant {
        // Check: the unlock has passed.
        _requireUnlocked(_channels[msg.sender][provider][podId]);

        _close(msg.sender, provider, podId);
    }

    // ------------------------------------------------------------------------------------------------ provider

    /// @inheritdoc IPayment
    function withdrawUpTo(address publisher, bytes32 podId, uint256 totalWithdrawAmount, address transferAddress)
        external
        override
        nonReentrant
    {
        Channel storage channel = _channels[publisher][msg.sender][podId];

        // Check: it is covered, and more than was paid.
        if (totalWithdrawAmount > channel.invested) revert InsufficientFunds();
        uint256 paid = channel.withdrawn;
        if (totalWithdrawAmount <= paid) revert AmountRequired();

        _settle(channel, publisher, podId, totalWithdrawAmount - paid, transferAddress);
    }

    /// @inheritdoc IPayment
    function withdraw(address publisher, bytes32 podId, uint256 amount, address transferAddress)
        external
        override
        nonReentrant
    {
        Channel storage channel = _channels[publisher][msg.sender][podId];

        // Check: the same, without a sum that could overflow.
        if (amount > channel.invested - channel.withdrawn) revert InsufficientFunds();
        if (amount == 0) revert AmountRequired();

        _settle(channel, publisher, podId, amount, transferAddress);
    }

    /// @inheritdoc IPayment
    function withdrawMany(Claim[] calldata claims, address transferAddress) external override nonReentrant {
        uint256 sum = 0;
        for (uint256 i = 0; i < claims.length; ++i) {
            sum += _claim(claims[i]);
        }

        // Interaction
        if (sum != 0) token.safeTransfer(_recipient(transferAddress), sum);
    }

    /// @inheritdoc IPayment
    function release(address publisher, bytes32 podId) external override nonReentrant {
        // Check: there is a channel.
        if (_channels[publisher][msg.sender][podId].invested == 0) revert DoesNotExist();

        _close(publisher, msg.sender, podId);
    }

    // ------------------------------------------------------------------------------------------------ views

    /// @inheritdoc IPayment
    function channels(address publisher, address provider, bytes32 podId)
        external
        view
        override
        returns (uint256 investedByPublisher, uint256 withdrawnByProvider, uint256 unlockTime, uint256 unlockedAt)
    {
        Channel storage channel = _channels[publisher][provider][podId];
        return (channel.invested, channel.withdrawn, channel.unlockTime, channel.unlockedAt);
    }

    /// @inheritdoc IPayment
    function available(address publisher, address provider, bytes32 podId) external view override returns (uint256) {
        Channel storage channel = _channels[publisher][provider][podId];
        return channel.invested - channel.withdrawn;
    }

    /// @inheritdoc IPayment
    function withdrawn(address publisher, address provider, bytes32 podId) external view override returns (uint256) {
        return _channels[publisher][provider][podId].withdrawn;
    }

    /// @inheritdoc IPayment
    function life(address publisher, address provider, bytes32 podId) external view override returns (uint256) {
        return _channels[publisher][provider][podId].life;
    }

    /// @inheritdoc IPayment
    function channelsOf(Key[] calldata keys) external view override returns (Record[] memory records) {
        records = new Record[](keys.length);
        for (uint256 i = 0; i < keys.length; ++i) {
            Channel storage channel = _channels[keys[i].publisher][keys[i].provider][keys[i].podId];
            records[i] = Record({
                investedByPublisher: channel.invested,
                withdrawnByProvider: channel.withdrawn,
                unlockTime: channel.unlockTime,
                unlockedAt: channel.unlockedAt,
                life: channel.life
            });
        }
    }

    // ------------------------------------------------------------------------------------------------ shared

    /// @dev Pulls `amount` from the caller and returns what came in, which must not be nothing.
    function _pull(uint256 amount) private returns (uint256 received) {
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        received = token.balanceOf(address(this)) - before;
        if (received == 0) revert AmountRequired();
    }

    /// @dev Pays `amount`, which must be covered, and ends a running unlock.
    function _settle(
        Channel storage channel,
        address publisher,
        bytes32 podId,
        uint256 amount,
        address transferAddress
    ) private {
        // Effect: it is paid, and the publisher need not wait longer.
        channel.withdrawn += amount;
        if (channel.unlockedAt > block.timestamp) channel.unlockedAt = uint64(block.timestamp);

        emit Withdrawn(publisher, msg.sender, podId, amount);

        // Interaction
        token.safeTransfer(_recipient(transferAddress), amount);
    }

    /// @dev Books one entry of `withdrawMany` and returns what is to be paid for it.
    function _claim(Claim calldata claim) private returns (uint256 due) {
        Channel storage channel = _channels[claim.publisher][msg.sender][claim.podId];

        // Check: it can be paid, or is skipped.
        uint256 covered = channel.invested;
        if (covered == 0) return _skip(claim, SkipReason.DoesNotExist);
        if (claim.life != channel.life) return _skip(claim, SkipReason.OtherLife);
        if (claim.total < covered) covered = claim.total;
        uint256 paid = channel.withdrawn;
        if (covered <= paid) return _skip(claim, SkipReason.AmountRequired);

        // Effect
        channel.withdrawn = covered;
        due = covered - paid;

        emit Withdrawn(claim.publisher, msg.sender, claim.podId, due);
    }

    function _skip(Claim calldata claim, SkipReason reason) private returns (uint256 due) {
        emit ClaimSkipped(claim.publisher, msg.sender, claim.podId, reason);
        return 0;
    }

    /// @dev Deletes the record, but for its life, and pays the rest back to the publisher.
    function _close(address publisher, address provider, bytes32 podId) private {
        Channel storage channel = _channels[publisher][provider][podId];
        uint256 rest = channel.invested - channel.withdrawn;

        // Effect
        channel.invested = 0;
        channel.withdrawn = 0;
        channel.unlockTime = 0;
        channel.unlockedAt = 0;

        if (rest != 0) emit Unlocked(publisher, provider, podId, rest);
        emit ChannelClosed(publisher, provider, podId);

        // Interaction
        if (rest != 0) token.safeTransfer(publisher, rest);
    }

    /// @dev Reverts unless an unlock of `channel` has passed.
    function _requireUnlocked(Channel storage channel) private view {
        uint256 unlockedAt = channel.unlockedAt;
        if (unlockedAt == 0 || block.timestamp < unlockedAt) revert ChannelLocked();
    }

    function _recipient(address transferAddress) private view returns (address) {
        return transferAddress == address(0) ? msg.sender : transferAddress;
    }
}
